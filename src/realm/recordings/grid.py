"""When the samples of a series were taken: a rate, or timestamps laid onto a uniform grid.

Filters need a uniform rate. Timestamps with small jitter are counted onto the grid of their mean
period, run by run; a pause longer than one and a half periods starts a new run and what lies
between two runs is missing. Timestamps of packets are doubted. Only the runs are kept, so a long
recording costs little memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.fault import RecordingFaultError

GAP_PERIODS = 1.5
RATE_TOLERANCE = 0.01
JITTER_SAMPLES = 16  # on each side of a long step, to tell jitter from a pause
MANY_BREAKS = 20  # more pauses between runs shorter than these are none: stamps of packets
SHORT_RUN, SHORT_RUN_S = 64, 0.1
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
        doubt: why the times cannot be relied on; empty where they can.
    """

    rate_hz: float
    start_s: float
    n_samples: int
    runs: NDArray[np.int64]
    doubt: str = ""

    def times_s(self) -> NDArray[np.float64]:
        """When each stored sample was taken, in seconds on the clock of the file, (stored,)."""
        runs = [np.arange(at, at + count) for at, _, count in self.runs.tolist()]
        return np.asarray(self.start_s + np.concatenate(runs) / self.rate_hz)

    def without(self, spans_s: Sequence[tuple[float, float]]) -> SampleGrid:
        """The grid without the samples in these spans (start, stop) of time, in seconds."""
        runs = self.runs.tolist()
        for start_s, stop_s in spans_s:
            first = math.ceil((start_s - self.start_s) * self.rate_hz - 1e-6)
            stop = math.ceil((stop_s - self.start_s) * self.rate_hz - 1e-6)
            parts = []
            for grid, stored, count in runs:
                before = min(count, max(0, first - grid))
                after = min(count, max(before, stop - grid))
                parts += [[grid, stored, before], [grid + after, stored + after, count - after]]
            runs = [part for part in parts if part[2] > 0]
        return replace(self, runs=np.array(runs, dtype=np.int64).reshape(-1, 3))

    def pieces(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(grid position, stored position, count) of the stored samples in [start, stop)."""
        found = []
        for grid, stored, count in self.runs.tolist():
            low, high = max(start, grid), min(stop, grid + count)
            if low < high:
                found.append((low, stored + low - grid, high - low))
        return found


def check_count(path: Path, series: str, n_stamps: int, shape: tuple[int, ...]) -> None:
    """Raise a ValueError where there is not one timestamp for each row of an array of `shape`."""
    if n_stamps == shape[0]:
        return
    turned = len(shape) > 1 and n_stamps == shape[1]
    raise RecordingFaultError(
        "transposed" if turned else "timestamps",
        f"{path}: expected one timestamp for each of the {shape[0]} rows at {series}, got "
        f"{n_stamps}; "
        + (
            "time and dims are swapped, transpose the data or swap the axes in the description"
            if turned
            else "write as many timestamps as rows, or state a rate instead"
        ),
    )


def check_increasing(path: Path, series: str, stamps: NDArray[np.float64], first: int = 0) -> None:
    """Raise a ValueError where timestamps are not finite or not strictly increasing."""
    if not np.isfinite(stamps).all():
        bad = first + int(np.flatnonzero(~np.isfinite(stamps))[0])
        raise RecordingFaultError(
            "timestamps",
            f"{path}: expected finite timestamps at {series}, got {stamps[bad - first]} at sample "
            f"{bad}; correct or remove that sample in the file",
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
        raise RecordingFaultError(
            "timestamps",
            f"{path}: expected one timestamp for each of the {n_stored} samples (two or more) at "
            f"{series}, got {stamps.shape}; correct the timestamps in the file",
        )
    bursts = _bursts(stamps)
    if bursts is not None:
        return _of_packets(path, series, stamps, bursts)
    period = _median_period(stamps)
    if not period > 0:
        check_increasing(path, series, stamps[:].astype(np.float64))
    breaks, time_in_runs = _pauses(stamps, _breaks(path, series, stamps, period), period)
    if _are_bursts(breaks, n_stored, period):
        return _of_packets(path, series, stamps, np.array(breaks))
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


def _median_period(stamps: Any) -> float:
    """Median step over blocks spread through the recording, in seconds."""
    starts = np.unique(np.linspace(0, max(0, len(stamps) - 4096), 16).astype(int))
    blocks = [np.diff(stamps[s : s + 4096].astype(np.float64)) for s in starts.tolist()]
    return float(np.median(np.concatenate(blocks)))


def _bursts(stamps: Any) -> NDArray[np.int64] | None:
    """Where bursts begin if stamps that go on stand still or step back again and again."""
    steps = np.diff(stamps[:].astype(np.float64))
    often = int((steps <= 0).sum()) > MANY_BREAKS
    if not (often and np.isfinite(steps).all() and float(steps.sum()) > 0):
        return None
    return np.flatnonzero(steps > 0) + 1


def _breaks(path: Path, series: str, stamps: Any, period: float) -> list[int]:
    """First samples after a step longer than one and a half periods."""
    breaks: list[int] = []
    for start in range(0, len(stamps) - 1, BLOCK):
        block = stamps[start : start + BLOCK + 1].astype(np.float64)
        check_increasing(path, series, block, start)
        breaks.extend((start + 1 + np.flatnonzero(np.diff(block) > GAP_PERIODS * period)).tolist())
    return breaks


def _pauses(stamps: Any, breaks: list[int], period: float) -> tuple[list[int], float]:
    """The breaks that last, and the total time spent inside runs, in seconds.

    Jitter makes long steps too, but the samples after them come early again: behind a real pause
    all samples are late.
    """
    n = len(stamps)
    kept, paused = [], 0.0
    for at in breaks:
        low, high = max(0, at - JITTER_SAMPLES), min(n, at + JITTER_SAMPLES)
        late = stamps[low:high].astype(np.float64) - period * np.arange(low, high)
        excess = float(np.mean(late[at - low :]) - np.mean(late[: at - low]))
        if excess > (GAP_PERIODS - 1) * period:
            kept.append(at)
            paused += float(stamps[at]) - float(stamps[at - 1])
    return kept, float(stamps[n - 1]) - float(stamps[0]) - paused


def _are_bursts(breaks: list[int], n: int, period: float) -> bool:
    """Whether pauses are so many and runs so short that these are no pauses."""
    run = float(np.median(np.diff([0, *breaks, n])))
    return len(breaks) > MANY_BREAKS and (run < SHORT_RUN or run * period < SHORT_RUN_S)


def _of_packets(path: Path, series: str, stamps: Any, bursts: NDArray[np.int64]) -> SampleGrid:
    """One run at the rate that the first samples of the bursts come to, with the doubt stated."""
    length, last = int(np.median(np.diff(bursts))), int(bursts[-1])
    passed_s = float(stamps[last]) - float(stamps[0])
    rate = _tidy(last / passed_s, passed_s)
    doubt = (
        f"{path}: expected one evenly spaced timestamp for each sample at {series}, but they come "
        f"in bursts of about {length} sample{'s' * (length != 1)}, as stamps of packets do; if "
        f"the samples are evenly spaced, state their rate of {rate:.6g} Hz in place of the "
        "timestamps"
    )
    return replace(at_rate(rate, float(stamps[0]), len(stamps)), doubt=doubt)


def _tidy(rate: float, duration_s: float) -> float:
    """`rate` rounded to 4 decimals where that moves no sample by half a period."""
    rounded = round(rate, 4)
    return rounded if abs(rate - rounded) * duration_s < 0.5 else rate
