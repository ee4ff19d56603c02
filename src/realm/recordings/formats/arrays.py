"""Recordings that are named arrays in .mat, .npz, .h5 or .zarr, as a TOML file describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import finished
from realm.recordings.description import (
    FOLDER_DESCRIPTION,
    SECONDS_PER,
    ArraySeries,
    BehaviorSeries,
    Channels,
    Samples,
    description_paths,
    find_description,
)
from realm.recordings.description_draft import draft, listing
from realm.recordings.fault import RecordingFaultError
from realm.recordings.grid import (
    SampleGrid,
    at_rate,
    check_count,
    check_increasing,
    check_rate,
    from_timestamps,
)
from realm.recordings.named_arrays import Container, StoredArray, open_container
from realm.recordings.recording import Recording, Signal, TimeSeries, named_after_file
from realm.volts import VOLTS_PER


def open_arrays(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a described file of arrays; `lfp_path` names another array of the same kind.

    Raises:
        ValueError: there is no description, or it does not fit the file.
    """
    description = find_description(path)
    if description is None or description.samples is None:
        described = description_paths(path)
        raise ValueError(_undescribed(path, (*described, path.parent / FOLDER_DESCRIPTION)[0]))
    samples = description.samples
    if lfp_path is not None:
        samples = samples.model_copy(update={"array": lfp_path})
    container = open_container(path)
    try:
        signal = array_signal(container, samples, description.channels)
        return Recording(path, named_after_file(path), signal, (), container.close)
    except BaseException:
        container.close()
        raise


def _undescribed(path: Path, where: Path) -> str:
    """What to write, with the arrays that there are and a description to begin with."""
    container = open_container(path)
    try:
        return (
            f"{path}: expected {where} to name the arrays of this file in a part [samples] (array, "
            f"axes, unit, rate_hz), found none; write it. This file has: {listing(container)}. To "
            f"begin, write these lines there and correct them:\n\n{draft(container)}"
        )
    finally:
        container.close()


def array_signal(container: Container, samples: Samples, channels: Channels) -> Signal:
    """The neural samples that a description names."""
    rows = rows_of(container, samples, "the samples")
    n_rows, n_channels = rows.shape
    names = _listed(container, channels.names, "channels.names")
    _check_channels(container, samples, rows, len(names))
    grid = grid_of(container, samples, n_rows, "the samples")
    gain = samples.gain * VOLTS_PER[samples.unit]
    if gain == 0:
        raise RecordingFaultError(
            "conversion", f"{container.path}: expected a gain other than 0; correct samples.gain"
        )

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return rows.read(first, stop) * gain

    regions = _listed(container, channels.regions, "channels.regions")
    where = str(samples.array) if isinstance(samples.array, str) else ", ".join(samples.array)
    return Signal(
        where,
        grid,
        names or tuple(str(i) for i in range(n_channels)),
        _of_length(container, regions, n_channels, "regions"),
        (False,) * n_channels,
        rows.dtype.itemsize * 8,
        read,
    )


def _check_channels(container: Container, samples: Samples, rows: Rows, n_names: int) -> None:
    n_rows, n_channels = rows.shape
    turned = n_channels > n_rows or (n_names > 0 and n_names == n_rows)
    if n_names not in (0, n_channels) or turned:
        named = f"{n_names} names" if n_names else "no names"
        raise RecordingFaultError(
            "transposed" if turned else "electrodes",
            f"{container.path}: expected axes {list(samples.axes)} with more times than channels "
            f"and one name per channel, got {n_rows} times, {n_channels} channels and {named}; "
            + ("swap the axes in the description" if turned else "correct channels.names"),
        )


def _listed(container: Container, listed: str | tuple[str, ...], what: str) -> tuple[str, ...]:
    return container.strings(listed, what) if isinstance(listed, str) else listed


def _of_length(container: Container, listed: tuple[str, ...], n: int, what: str) -> tuple[str, ...]:
    if listed and len(listed) != n:
        raise RecordingFaultError(
            "electrodes",
            f"{container.path}: expected one of the {what} for each of {n} channels, got "
            f"{len(listed)}; correct channels.{what} in the description",
        )
    return listed or ("",) * n


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


def grid_of(container: Container, series: ArraySeries, n_rows: int, what: str) -> SampleGrid:
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
        return at_rate(rate, _offset_s(container, series, what), n_rows)
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
            check_count(container.path, what, len(times), rows.shape)
            check_increasing(container.path, str(series.timestamps), times)
        else:
            times = grid_of(container, series, n_rows, what).times_s()
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


def _stamps(container: Container, series: ArraySeries, what: str) -> NDArray[np.float64]:
    assert series.timestamps is not None
    stored = container.array(series.timestamps, f"the timestamps of {what}").read()
    scale = SECONDS_PER[series.time_unit]
    times: NDArray[np.float64] = np.asarray(stored, dtype=np.float64).reshape(-1) * scale
    return times + _offset_s(container, series, what)


def _offset_s(container: Container, series: ArraySeries, what: str) -> float:
    """What is added to all times: the number of the description and that of the file."""
    if series.offset is None:
        return series.offset_s
    stored = container.array(series.offset, f"the offset of {what}").read()
    if stored.size != 1 or not np.isfinite(stored).all():
        raise ValueError(
            f"{container.path}: expected one number at {series.offset!r} for the offset of {what}, "
            f"got {stored.reshape(-1)[:4]}; correct offset in the description"
        )
    return series.offset_s + float(stored.reshape(-1)[0]) * SECONDS_PER[series.time_unit]
