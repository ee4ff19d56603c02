"""Read an NWB recording lazily: LFP in volts on a uniform grid, behavior by its path.

Nothing but the samples asked for is read, so a recording larger than memory works. Gaps between
timestamps are NaN here; the guard of the signal chain replaces and flags them.

Format: NWB 2, https://nwb-schema.readthedocs.io.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.data import catalog, hdf
from realm.data.electrodes import Electrodes, read_electrodes
from realm.data.timeline import Timeline, check_increasing, read_timeline


class TimeSeries(NamedTuple):
    """A behavior time series.

    Attributes:
        timestamps_s: (n,) seconds on the clock of the file, increasing.
        values: (n, dims) float64 in `unit`, NaN where missing.
        unit: of the values.
        names: of the dims.
    """

    timestamps_s: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str
    names: tuple[str, ...]


class Recording:
    """One session's file, open for reading. Use `Recording.open` and close it, or use `with`.

    Attributes:
        path: of the file.
        lfp_path: of the neural series inside the file.
        session_id: subject and session, safe as a file name.
        subject: the subject's id; a session that states none is its own subject.
        sampling_rate_hz, n_samples, start_s: the uniform grid of the neural series.
        channel_names, regions, bad_channels: one entry per channel, from the electrode table.
    """

    def __init__(self, path: Path, file: h5py.File, lfp_path: str | None) -> None:
        self.path = path
        self._file = file
        if "nwb_version" not in file.attrs:
            raise ValueError(
                f"{path}: expected an NWB 2 file, but it states no nwb_version; "
                "convert the recording to NWB (for instance with neuroconv)"
            )
        self.session_id, self.subject = catalog.identity(path, file)
        self.lfp_path = catalog.choose_lfp(path, file, lfp_path)
        self._data = _numeric(path, file, f"{self.lfp_path}/data", dims=(1, 2))
        self._timeline: Timeline = read_timeline(path, file, self.lfp_path, len(self._data))
        n_channels = 1 if self._data.ndim == 1 else int(self._data.shape[1])
        electrodes: Electrodes = read_electrodes(
            path, file, self.lfp_path, n_channels, n_stored=len(self._data)
        )
        self.channel_names, self.regions, self.bad_channels = electrodes
        self._gain, self._offset = _calibration(path, file, self.lfp_path, self._data, n_channels)

    @classmethod
    def open(cls, path: Path | str, lfp_path: str | None = None) -> Recording:
        """Open a recording; `lfp_path` names the neural series where the file has several.

        Raises:
            ValueError: the file or what it says cannot be used; the message says what to do.
        """
        path = Path(path)
        file = hdf.open_hdf5(path)
        try:
            return cls(path, file, lfp_path)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def sampling_rate_hz(self) -> float:
        """Samples per second."""
        return self._timeline.rate_hz

    @property
    def n_samples(self) -> int:
        """Length of the uniform grid."""
        return self._timeline.n_samples

    @property
    def start_s(self) -> float:
        """Time of the first sample on the clock of the file."""
        return self._timeline.start_s

    @property
    def sample_bits(self) -> int:
        """Bits that one stored sample of one channel takes."""
        return int(self._data.dtype.itemsize) * 8

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channel_names)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Samples [start, stop) in volts (or the series' own unit), NaN in gaps.

        Returns:
            (samples, channels) float64.
        """
        start, stop = max(0, start), min(stop, self.n_samples)
        out = np.full((max(0, stop - start), self.n_channels), np.nan)
        for grid, stored, count in self._timeline.pieces(start, stop):
            try:
                block = self._data[stored : stored + count]
            except OSError as error:
                raise ValueError(
                    f"{self.path}: expected readable samples at {self.lfp_path}, but samples "
                    f"{stored} to {stored + count} cannot be read ({error}); the file is damaged "
                    "or needs a compression filter that is not installed, copy it again"
                ) from error
            out[grid - start : grid - start + count] = block.reshape(count, self.n_channels)
        out *= self._gain
        out += self._offset
        return out

    def blocks(self, n_samples: int) -> Iterator[NDArray[np.float64]]:
        """The whole recording in consecutive blocks of at most `n_samples` samples."""
        for start in range(0, self.n_samples, n_samples):
            yield self.read(start, start + n_samples)

    def behavior_paths(self) -> list[str]:
        """Paths that `behavior` accepts."""
        return catalog.behavior_paths(self._file)

    def behavior(self, path: str) -> TimeSeries:
        """Read the time series at `path`, inside processing/ or from the root of the file.

        Raises:
            ValueError: nothing there (the message lists what is), or it cannot be used.
        """
        name = catalog.series_name(self._file, path)
        if name is None:
            found = ", ".join(self.behavior_paths()) or "no time series at all"
            raise ValueError(
                f"{self.path}: expected a behavior time series at {path!r}, found none; this file "
                f"has: {found}. Set behavior to one of these paths"
            )
        return _read_series(self.path, self._file, name)


def _numeric(path: Path, file: h5py.File, name: str, dims: tuple[int, ...]) -> h5py.Dataset:
    data = hdf.find(file, name)
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "iuf" or data.ndim not in dims:
        what = f"{data.dtype} of shape {data.shape}" if isinstance(data, h5py.Dataset) else "none"
        raise ValueError(
            f"{path}: expected numbers with time first and at most one more axis at {name}, got "
            f"{what}; choose another series or export this one again"
        )
    if data.size == 0:
        raise ValueError(
            f"{path}: expected at least one sample at {name}, got shape {data.shape}; "
            "choose another series or export this one again"
        )
    return data


def _calibration(
    path: Path, file: h5py.File, series: str, data: h5py.Dataset, n_channels: int
) -> tuple[NDArray[np.float64], float]:
    """Gain per channel and offset that turn stored numbers into the unit of the series."""
    conversion = hdf.finite_attribute(path, data, "conversion", 1.0)
    offset = hdf.finite_attribute(path, data, "offset", 0.0)
    gain = np.full(n_channels, conversion)
    node = hdf.find(file, f"{series}/channel_conversion")
    if isinstance(node, h5py.Dataset):
        if node.shape != (n_channels,):
            raise ValueError(
                f"{path}: expected {n_channels} channel conversions at {series}, got shape "
                f"{node.shape}; write one number per channel into the file"
            )
        gain = gain * node[:].astype(np.float64)
    if not (np.isfinite(gain).all() and (gain != 0).all()):
        bad = np.flatnonzero(~np.isfinite(gain) | (gain == 0))
        raise ValueError(
            f"{path}: expected finite conversions other than 0 at {series}, got {gain[bad[0]]} "
            f"for channel {int(bad[0])} ({len(bad)} such channels); correct conversion or "
            "channel_conversion in the file"
        )
    return gain, offset


def _read_series(path: Path, file: h5py.File, name: str) -> TimeSeries:
    data = _numeric(path, file, f"{name}/data", dims=(1, 2))
    stamps = hdf.find(file, f"{name}/timestamps")
    if isinstance(stamps, h5py.Dataset) and stamps.shape == (len(data),):
        times = stamps[:].astype(np.float64)
        check_increasing(path, name, times)
    else:
        timeline = read_timeline(path, file, name, len(data))
        times = timeline.start_s + np.arange(len(data)) / timeline.rate_hz
    gain, offset = _calibration(path, file, name, data, n_channels=1)
    values = data[:].astype(np.float64).reshape(len(data), -1) * gain + offset
    values[~np.isfinite(values)] = np.nan
    if not np.isfinite(values).any():
        raise ValueError(
            f"{path}: expected behavior at {name}, but every value is missing; choose another "
            "behavior path or repair the series"
        )
    unit = hdf.text(data.attrs.get("unit", "arbitrary"))
    last = name.rsplit("/", 1)[-1]
    dims = values.shape[1]
    names = "xyz"[:dims] if 1 < dims <= 3 else [f"{last}_{i}" for i in range(dims)]
    return TimeSeries(times, values, unit, tuple(names) if dims > 1 else (last,))
