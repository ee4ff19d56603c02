"""When the samples of a series were taken: a rate, or timestamps laid onto a uniform grid.

Filters need a uniform rate. Timestamps with small jitter are counted onto the grid of their mean
period, run by run; a pause longer than one and a half periods starts a new run and what lies
between two runs is missing. Only the runs are kept, so a long recording costs little memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.fault import RecordingFaultError

GAP_PERIODS = 1.5
RATE_TOLERANCE = 0.01
DRIFT_SAMPLES, DRIFT_SHARE = 2.0, 1e-4  # by which segments may run late: clocks differ
BLOCK = 1 << 20


@dataclass(frozen=True)
class SampleGrid:
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

    def times_s(self) -> NDArray[np.float64]:
        """When each stored sample was taken, in seconds on the clock of the file, (stored,)."""
        runs = [np.arange(at, at + count) for at, _, count in self.runs.tolist()]
        return np.asarray(self.start_s + np.concatenate(runs) / self.rate_hz)

    def pieces(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(grid position, stored position, count) of the stored samples in [start, stop)."""
        found = []
        for grid, stored, count in self.runs.tolist():
            low, high = max(start, grid), min(stop, grid + count)
            if low < high:
                found.append((low, stored + low - grid, high - low))
        return found


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
        raise RecordingFaultError(
            "backward_time",
            f"{path}: expected timestamps that increase at {series}, but they go backward or "
            f"repeat: {stamps[bad]:.6f} s is followed by {stamps[bad + 1]:.6f} s at sample "
            f"{first + bad + 1}; sort or correct the timestamps in the file",
        )


def at_rate(rate_hz: float, start_s: float, n_stored: int) -> SampleGrid:
    """All samples in one run."""
    return SampleGrid(rate_hz, start_s, n_stored, np.array([[0, 0, n_stored]]))


def check_rate(path: Path, series: str, stated_hz: float, measured_hz: float) -> None:
    """Raise a ValueError where timestamps contradict the rate that a file states beside them."""
    if abs(measured_hz / stated_hz - 1) > RATE_TOLERANCE:
        raise RecordingFaultError(
            "wrong_rate",
            f"{path}: expected timestamps at the stated rate of {stated_hz:g} Hz at {series}, but "
            f"they come at {measured_hz:g} Hz; correct the rate or the timestamps, or remove one",
        )


def from_timestamps(path: Path, series: str, stamps: Any, n_stored: int) -> SampleGrid:
    """The grid of one timestamp in seconds per sample; `stamps` is any sliceable array.

    Raises:
        ValueError: not one finite timestamp per sample, or they do not increase.
    """
    if tuple(stamps.shape) != (n_stored,) or n_stored < 2:
        raise ValueError(
            f"{path}: expected one timestamp for each of the {n_stored} samples (two or more) at "
            f"{series}, got {stamps.shape}; correct the timestamps in the file"
        )
    period = _median_period(path, series, stamps)
    breaks, time_in_runs = _scan(path, series, stamps, period)
    first = np.array([0, *breaks])
    counts = np.diff([*first, n_stored])
    start_s, last_s = float(stamps[0]), float(stamps[n_stored - 1])
    if time_in_runs <= 0:
        raise ValueError(
            f"{path}: expected samples at a regular rate at {series}, but every timestamp stands "
            "alone; correct the timestamps in the file"
        )
    rate = _tidy((n_stored - len(first)) / time_in_runs, last_s - start_s)
    return _laid_out(rate, [float(stamps[i]) for i in first], counts.tolist())


def from_segments(
    path: Path, series: str, rate_hz: float, starts_s: Sequence[float], counts: Sequence[int]
) -> SampleGrid:
    """The grid of segments stored one after the other, each with its own start.

    A start is rounded to the grid of the rate; a segment never lies over the one before it.

    Raises:
        ValueError: a segment starts before the one before it has ended.
    """
    for i in range(1, len(starts_s)):
        end = starts_s[i - 1] + counts[i - 1] / rate_hz
        if starts_s[i] < end - GAP_PERIODS / rate_hz:
            raise RecordingFaultError(
                "backward_time",
                f"{path}: expected segments in the order of time at {series}, but segment {i} "
                f"starts at {starts_s[i]:.6f} s, before segment {i - 1} ends at {end:.6f} s; "
                "export the parts as files of their own",
            )
    grid = _laid_out(rate_hz, starts_s, counts)
    stated = (np.asarray(starts_s) - starts_s[0]) * rate_hz
    late = grid.runs[:, 0] - stated
    if (late > np.maximum(DRIFT_SAMPLES, DRIFT_SHARE * stated)).any():
        true = counts[0] / (starts_s[1] - starts_s[0])
        raise RecordingFaultError(
            "wrong_rate",
            f"{path}: expected segments that follow each other at {rate_hz:g} Hz at {series}, but "
            f"they hold {late.max():.0f} samples more than fit between their starts; the true "
            f"rate is about {true:.6g} Hz, correct the rate or the starts in the file",
        )
    return grid


def _laid_out(rate: float, starts_s: Sequence[float], counts: Sequence[int]) -> SampleGrid:
    """Runs on the uniform grid that begins with the first of them."""
    first = np.cumsum([0, *counts[:-1]])
    grid = np.rint((np.asarray(starts_s) - starts_s[0]) * rate).astype(np.int64)
    for i in range(1, len(grid)):
        end = grid[i - 1] + counts[i - 1]
        grid[i] = max(grid[i], end)
    runs = np.stack([grid, first, counts], axis=1).astype(np.int64)
    return SampleGrid(rate, float(starts_s[0]), int(grid[-1] + counts[-1]), runs)


def _median_period(path: Path, series: str, stamps: Any) -> float:
    """Median step over blocks spread through the recording, in seconds."""
    starts = np.unique(np.linspace(0, max(0, len(stamps) - 4096), 16).astype(int))
    blocks = [np.diff(stamps[s : s + 4096].astype(np.float64)) for s in starts.tolist()]
    period = float(np.median(np.concatenate(blocks)))
    if not period > 0:
        check_increasing(path, series, stamps[:].astype(np.float64))
    return period


def _scan(path: Path, series: str, stamps: Any, period: float) -> tuple[list[int], float]:
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
