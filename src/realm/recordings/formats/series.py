"""From a description of an array to its rows in time: axes, gain, clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.formats.description import SECONDS_PER, ArraySeries, BehaviorSeries
from realm.recordings.formats.named_arrays import Container, StoredArray, open_container
from realm.recordings.grid import Timeline, at_rate, check_increasing, check_rate, from_timestamps
from realm.recordings.recording import TimeSeries


class Rows:
    """An array as rows in time, (time, channel), whatever the order of its axes.

    Attributes:
        shape: (rows, columns).
        dtype: of the stored numbers.
    """

    def __init__(self, columns: list[StoredArray], axes: tuple[str, ...]) -> None:
        self._columns, self._axes = columns, axes
        first = columns[0]
        if axes == ("time",) or len(columns) > 1:
            self.shape = (max(first.shape, default=0), len(columns))
        else:
            self.shape = (first.shape[axes.index("time")], first.shape[axes.index("channel")])
        self.dtype = first.dtype

    def read(self, first: int, stop: int) -> NDArray[np.float64]:
        """Rows [first, stop), (rows, columns) float64, as they are stored."""
        parts = [self._part(column, first, stop) for column in self._columns]
        return np.asarray(np.concatenate(parts, axis=1), dtype=np.float64)

    def _part(self, column: StoredArray, first: int, stop: int) -> NDArray[np.float64]:
        where = [slice(None)] * len(column.shape)
        vector = self._axes == ("time",) or len(self._columns) > 1
        along = int(np.argmax(column.shape)) if vector else self._axes.index("time")
        where[along] = slice(first, stop)
        part = np.asarray(column.read(*where), dtype=np.float64)
        if vector:
            return part.reshape(-1, 1)
        return part if along == 0 else part.T


def rows_of(container: Container, series: ArraySeries, what: str) -> Rows:
    """The rows of an array, or of several vectors side by side.

    Raises:
        ValueError: no such array, or its shape is not that of the description.
    """
    names = (series.array,) if isinstance(series.array, str) else series.array
    columns = [container.array(name, what) for name in names]
    vectors = series.axes == ("time",) or len(names) > 1
    for name, column in zip(names, columns, strict=True):
        long = [n for n in column.shape if n != 1]
        wanted = len(long) <= 1 and column.shape if vectors else len(column.shape) == 2
        if not wanted or 0 in column.shape:
            kind = "a vector" if vectors else f"two axes, {' and '.join(series.axes)},"
            raise ValueError(
                f"{container.path}: expected {kind} at {name!r} for {what}, got shape "
                f"{column.shape}; correct axes or array in the description"
            )
    lengths = sorted({max(column.shape) for column in columns}) if vectors else [0]
    if len(lengths) > 1:
        raise ValueError(
            f"{container.path}: expected vectors of one length for {what}, got lengths "
            f"{', '.join(map(str, lengths))}; correct array in the description"
        )
    return Rows(columns, series.axes)


def timeline_of(container: Container, series: ArraySeries, n_rows: int, what: str) -> Timeline:
    """When the rows were taken; a rate and timestamps that contradict each other are refused."""
    rate = series.rate_hz
    if series.rate is not None:
        stored = container.array(series.rate, f"the rate of {what}").read()
        rate = float(stored.reshape(-1)[0]) if stored.size == 1 else float("nan")
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(
                f"{container.path}: expected one rate above 0 Hz at {series.rate!r}, got "
                f"{stored.reshape(-1)[:4]}; correct the rate in the description"
            )
    if series.timestamps is None:
        assert rate is not None
        return at_rate(rate, series.offset_s, n_rows)
    stamps = _stamps(container, series, what)
    found = from_timestamps(container.path, series.timestamps, stamps, n_rows)
    if rate is not None:
        check_rate(container.path, series.timestamps, rate, found.rate_hz)
    return found


def behavior_of(recording: Path, name: str, series: BehaviorSeries) -> TimeSeries:
    """Read the behavior that a description names, onto the clock of the samples."""
    container = open_container(behavior_file(recording, series))
    try:
        what = f"behavior {name!r}"
        rows = rows_of(container, series, what)
        n_rows, n_dims = rows.shape
        if series.timestamps is not None:
            times = _stamps(container, series, what)
            if times.shape != (n_rows,):
                raise ValueError(
                    f"{container.path}: expected one timestamp for each of the {n_rows} rows of "
                    f"{what}, got {len(times)}; correct axes or timestamps in the description"
                )
            check_increasing(container.path, str(series.timestamps), times)
        else:
            timeline = timeline_of(container, series, n_rows, what)
            times = timeline.start_s + np.arange(n_rows) / timeline.rate_hz
        values = rows.read(0, n_rows) * series.gain
    finally:
        container.close()
    return finished(container.path, name, times, values, series.unit, column_names(series, n_dims))


def behavior_file(recording: Path, series: BehaviorSeries) -> Path:
    """The file a behavior series lies in."""
    if series.file is None:
        return recording
    return recording.parent / series.file.replace("{stem}", recording.stem)


def column_names(series: BehaviorSeries, n_dims: int) -> tuple[str, ...]:
    """Names of the columns: stated, of the arrays or channels, x y z, or numbers."""
    if series.names:
        if len(series.names) != n_dims:
            raise ValueError(
                f"expected {n_dims} names for the columns of {series.array or series.channels}, "
                f"got {len(series.names)}; correct names in the description"
            )
        return series.names
    listed = series.channels or (series.array if isinstance(series.array, tuple) else ())
    if len(listed) == n_dims:
        return listed
    return tuple("xyz"[:n_dims]) if 1 < n_dims <= 3 else tuple(f"dim{i}" for i in range(n_dims))


def finished(
    path: Path,
    name: str,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    unit: str,
    names: tuple[str, ...],
) -> TimeSeries:
    """A behavior series; what is not finite is missing, and something must be known."""
    values = np.where(np.isfinite(values), values, np.nan)
    if not np.isfinite(values).any():
        raise ValueError(
            f"{path}: expected behavior {name!r}, but every value is missing; choose another "
            "behavior or repair the series"
        )
    return TimeSeries(times, values, unit, names)


def _stamps(container: Container, series: ArraySeries, what: str) -> NDArray[np.float64]:
    assert series.timestamps is not None
    stored = container.array(series.timestamps, f"the timestamps of {what}").read()
    scale = SECONDS_PER[series.time_unit]
    return np.asarray(stored, dtype=np.float64).reshape(-1) * scale + series.offset_s
