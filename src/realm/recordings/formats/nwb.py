"""Read an NWB recording lazily: LFP in volts on a uniform grid, behavior by its path.

Format: NWB 2, https://nwb-schema.readthedocs.io.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf
from realm.recordings.channels import finished
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats import nwb_contents as contents
from realm.recordings.formats.nwb_electrodes import read_electrodes
from realm.recordings.formats.nwb_probes import choose_series, side_by_side
from realm.recordings.grid import (
    SampleGrid,
    at_rate,
    check_count,
    check_increasing,
    check_rate,
    from_timestamps,
)
from realm.recordings.recording import Recording, Signal, TimeSeries
from realm.volts import volts_per


def open_nwb(path: Path, lfp_path: str | None = None) -> Recording:
    """Open an NWB file; `lfp_path` names the neural series where it has several.

    Series of different probes are one recording, and so are those that `lfp_path` joins by " + ".

    Raises:
        ValueError: the file or what it says cannot be used; the message says what to do.
    """
    file = hdf.open_hdf5(path)
    try:
        if "nwb_version" not in file.attrs:
            raise ValueError(
                f"{path}: expected an NWB 2 file, but it states no nwb_version; "
                "convert the recording to NWB (for instance with neuroconv)"
            )
        identity = contents.identity(path, file)
        signals = [_signal(path, file, name) for name in choose_series(path, file, lfp_path)]
        signal = side_by_side(path, file, signals)
        return Recording(path, identity, signal, (NwbBehavior(path, file),), file.close)
    except BaseException:
        file.close()
        raise


class NwbBehavior:
    """Every time series of an NWB file, inside processing/ or from the root of the file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path, self._file = path, file

    def paths(self) -> list[str]:
        """All series except electrical ones."""
        return contents.behavior_paths(self._file)

    def read(self, path: str) -> TimeSeries | None:
        """The series at `path`, or None."""
        name = contents.series_name(self._file, path)
        return None if name is None else _read_series(self._path, self._file, name)


def _signal(path: Path, file: h5py.File, series: str) -> Signal:
    data = _numeric(path, file, f"{series}/data", dims=(1, 2))
    excluded = contents.invalid_times(path, file)
    grid = read_grid(path, file, series, len(data)).without(excluded)
    if not len(grid.runs):
        raise ValueError(
            f"{path}: expected samples outside intervals/invalid_times, found none; correct these "
            "intervals or leave this session out"
        )
    n_channels = 1 if data.ndim == 1 else int(data.shape[1])
    electrodes = read_electrodes(path, file, series, n_channels, n_stored=len(data))
    gain, offset = _calibration(path, file, series, data, n_channels)
    volts = _volts(path, series, data, gain)
    gain, offset = gain * volts, offset * volts
    same = bool((gain == gain[0]).all())
    scale = gain[:1] if same else gain  # one number for all takes half the time

    def read(first: int, stop: int) -> NDArray[np.float64]:
        stored: NDArray[Any] = data[first:stop].reshape(stop - first, n_channels)
        volts = stored.astype(np.float64)
        volts *= scale
        if offset:
            volts += offset
        return volts

    bits = int(data.dtype.itemsize) * 8
    return Signal(series, grid, *electrodes, bits, read, excluded=excluded)


def read_grid(path: Path, file: h5py.File, series: str, n_stored: int) -> SampleGrid:
    """The grid of the series at `series`, which stores `n_stored` samples.

    Raises:
        ValueError: neither a positive rate nor timestamps, or timestamps that go backward.
    """
    starting = hdf.find(file, f"{series}/starting_time")
    stamps = hdf.find(file, f"{series}/timestamps")
    if isinstance(starting, h5py.Dataset):
        rate = _rate(path, series, starting.attrs.get("rate"))
        start_s = hdf.number(starting[()])
        if not np.isfinite(start_s):
            raise ValueError(
                f"{path}: expected a finite starting_time at {series}, got {start_s}; "
                "correct the starting time in the file"
            )
        if isinstance(stamps, h5py.Dataset) and stamps.shape == (n_stored,) and n_stored > 1:
            check_rate(path, series, rate, from_timestamps(path, series, stamps, n_stored).rate_hz)
        return at_rate(rate, start_s, n_stored)
    if isinstance(stamps, h5py.Dataset):
        return from_timestamps(path, series, stamps, n_stored)
    raise ValueError(
        f"{path}: expected a starting_time with a rate, or timestamps, at {series}, found "
        "neither; write the sampling rate of the series into the file"
    )


def _rate(path: Path, series: str, stored: object) -> float:
    rate = hdf.number(stored)
    if not (np.isfinite(rate) and rate > 0):
        arrived = "none" if stored is None else repr(stored)
        raise ValueError(
            f"{path}: expected a sampling rate above 0 Hz at {series}, got {arrived}; "
            "set the attribute rate of starting_time in the file"
        )
    return rate


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
        if node.size != n_channels or node.ndim > 2:
            raise ValueError(
                f"{path}: expected {n_channels} channel conversions at {series}, got shape "
                f"{node.shape}; write one number per channel into the file"
            )
        gain = gain * node[()].astype(np.float64).reshape(-1)
    if not (np.isfinite(gain).all() and (gain != 0).all()):
        bad = np.flatnonzero(~np.isfinite(gain) | (gain == 0))
        raise RecordingFaultError(
            "conversion",
            f"{path}: expected finite conversions other than 0 at {series}, got {gain[bad[0]]} "
            f"for channel {int(bad[0])} ({len(bad)} such channels); correct conversion or "
            "channel_conversion in the file",
        )
    return gain, offset


def _volts(path: Path, series: str, data: h5py.Dataset, gain: NDArray[np.float64]) -> float:
    """Volts in the stated unit of a series; 1 where it is none of potential.

    Stored numbers times the conversion are in the unit. Writers that store microvolts and mean
    volts by the conversion state the factor twice.
    """
    unit = hdf.text(data.attrs.get("unit", "")).strip()
    factor = volts_per(unit) or 1.0
    if factor != 1 and np.allclose(np.median(gain), factor, rtol=0.01):
        raise RecordingFaultError(
            "unit",
            f"{path}: expected numbers times conversion to be in the unit at {series}, but the "
            f"unit is {unit!r} and the conversion {np.median(gain):g}: one of them says it twice; "
            'where the numbers are stored in that unit, set the unit to "volts" and keep the '
            "conversion",
        )
    return factor


def _read_series(path: Path, file: h5py.File, name: str) -> TimeSeries:
    data = _numeric(path, file, f"{name}/data", dims=(1, 2))
    stamps = hdf.find(file, f"{name}/timestamps")
    if isinstance(stamps, h5py.Dataset):
        times = stamps[()].astype(np.float64).reshape(-1)
        check_count(path, name, len(times), data.shape)
        check_increasing(path, name, times)
    else:
        times = read_grid(path, file, name, len(data)).times_s()
    gain, offset = _calibration(path, file, name, data, n_channels=1)
    values = data[:].astype(np.float64).reshape(len(data), -1) * gain + offset
    for start, stop in contents.invalid_times(path, file):
        values[(times >= start) & (times < stop)] = np.nan
    unit = hdf.text(data.attrs.get("unit", "arbitrary"))
    last = name.rsplit("/", 1)[-1]
    dims = values.shape[1]
    names = "xyz"[:dims] if 1 < dims <= 3 else [f"{last}_{i}" for i in range(dims)]
    return finished(path, name, times, values, unit, tuple(names) if dims > 1 else (last,))
