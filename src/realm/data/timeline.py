"""When the samples of a series were taken: a rate, or timestamps laid onto a uniform grid.

Filters need a uniform rate. Timestamps with small jitter are counted onto the grid of their mean
period, run by run; a pause longer than one and a half periods starts a new run and what lies
between two runs is missing. Only the runs are kept, so a long recording costs little memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.data import hdf

GAP_PERIODS = 1.5
BLOCK = 1 << 20


@dataclass(frozen=True)
class Timeline:
    """A uniform grid and the runs of stored samples on it.

    Attributes:
        rate_hz: samples per second.
        start_s: time of grid position 0, on the clock of the file.
        n_samples: length of the grid.
        runs: rows of (grid position, stored position, count), int64, shape (runs, 3).
    """

    rate_hz: float
    start_s: float
    n_samples: int
    runs: NDArray[np.int64]

    def pieces(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(grid position, stored position, count) of the stored samples in [start, stop)."""
        found = []
        for grid, stored, count in self.runs.tolist():
            low, high = max(start, grid), min(stop, grid + count)
            if low < high:
                found.append((low, stored + low - grid, high - low))
        return found


def read_timeline(path: Path, file: h5py.File, series: str, n_stored: int) -> Timeline:
    """The timeline of the series at `series`, which stores `n_stored` samples.

    Raises:
        ValueError: neither a positive rate nor timestamps, or timestamps that go backward.
    """
    starting = hdf.find(file, f"{series}/starting_time")
    stamps = hdf.find(file, f"{series}/timestamps")
    if isinstance(starting, h5py.Dataset):
        rate = _rate(path, series, starting.attrs.get("rate"))
        start_s = float(starting[()])
        if not np.isfinite(start_s):
            raise ValueError(
                f"{path}: expected a finite starting_time at {series}, got {start_s}; "
                "correct the starting time in the file"
            )
        return Timeline(rate, start_s, n_stored, np.array([[0, 0, n_stored]]))
    if isinstance(stamps, h5py.Dataset):
        return _from_timestamps(path, series, stamps, n_stored)
    raise ValueError(
        f"{path}: expected a starting_time with a rate, or timestamps, at {series}, found "
        "neither; write the sampling rate of the series into the file"
    )


def check_increasing(path: Path, series: str, stamps: NDArray[np.float64], first: int = 0) -> None:
    """Raise a ValueError where timestamps are not finite or not strictly increasing."""
    if not np.isfinite(stamps).all():
        bad = first + int(np.flatnonzero(~np.isfinite(stamps))[0])
        raise ValueError(
            f"{path}: expected finite timestamps at {series}, got {stamps[bad - first]} at sample "
            f"{bad}; correct or remove that sample in the file"
        )
    steps = np.diff(stamps)
    if (steps <= 0).any():
        bad = int(np.flatnonzero(steps <= 0)[0])
        raise ValueError(
            f"{path}: expected timestamps that increase at {series}, but they go backward or "
            f"repeat: {stamps[bad]:.6f} s is followed by {stamps[bad + 1]:.6f} s at sample "
            f"{first + bad + 1}; sort or correct the timestamps in the file"
        )


def _rate(path: Path, series: str, stored: object) -> float:
    try:
        rate = float(stored)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        rate = float("nan")
    if not (np.isfinite(rate) and rate > 0):
        arrived = "none" if stored is None else repr(stored)
        raise ValueError(
            f"{path}: expected a sampling rate above 0 Hz at {series}, got {arrived}; "
            "set the attribute rate of starting_time in the file"
        )
    return rate


def _from_timestamps(path: Path, series: str, stamps: h5py.Dataset, n_stored: int) -> Timeline:
    if stamps.shape != (n_stored,) or n_stored < 2:
        raise ValueError(
            f"{path}: expected one timestamp for each of the {n_stored} samples (two or more) at "
            f"{series}, got {stamps.shape}; correct the timestamps in the file"
        )
    period = _median_period(path, series, stamps)
    breaks, time_in_runs = _scan(path, series, stamps, period)
    first = np.array([0, *breaks])
    counts = np.diff([*first, n_stored])
    start_s, last_s = float(stamps[0]), float(stamps[n_stored - 1])
    rate = _tidy((n_stored - len(first)) / time_in_runs, last_s - start_s)
    grid = np.rint((np.array([stamps[i] for i in first]) - start_s) * rate).astype(np.int64)
    for i in range(1, len(first)):
        grid[i] = max(grid[i], grid[i - 1] + counts[i - 1])
    runs = np.stack([grid, first, counts], axis=1).astype(np.int64)
    return Timeline(rate, start_s, int(grid[-1] + counts[-1]), runs)


def _median_period(path: Path, series: str, stamps: h5py.Dataset) -> float:
    """Median step over blocks spread through the recording, in seconds."""
    starts = np.unique(np.linspace(0, max(0, len(stamps) - 4096), 16).astype(int))
    blocks = [np.diff(stamps[s : s + 4096].astype(np.float64)) for s in starts.tolist()]
    period = float(np.median(np.concatenate(blocks)))
    if not period > 0:
        check_increasing(path, series, stamps[:].astype(np.float64))
    return period


def _scan(path: Path, series: str, stamps: h5py.Dataset, period: float) -> tuple[list[int], float]:
    """First samples after a pause, and the total time spent inside runs, in seconds."""
    breaks: list[int] = []
    inside = 0.0
    for start in range(0, len(stamps) - 1, BLOCK):
        block = stamps[start : start + BLOCK + 1].astype(np.float64)
        check_increasing(path, series, block, start)
        steps = np.diff(block)
        pause = steps > GAP_PERIODS * period
        breaks.extend((start + 1 + np.flatnonzero(pause)).tolist())
        inside += float(steps[~pause].sum())
    return breaks, inside


def _tidy(rate: float, duration_s: float) -> float:
    """`rate` rounded to 4 decimals where that moves no sample by half a period."""
    rounded = round(rate, 4)
    return rounded if abs(rate - rounded) * duration_s < 0.5 else rate
