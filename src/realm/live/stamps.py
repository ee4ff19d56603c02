"""What a time stamp says: seen before, of another clock, or nothing; and the rate of many of them.

What is remembered of a stream lies in two small arrays, `f` (float64) and `i` (int64), written over
in place; the names below are positions in them, in the settings and in what comes out. All of it is
plain loops over numbers, compiled by numba where it is there; see `placing.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import jitable

# What is remembered: f
EXPECTED = 0  # when the next sample is due; NaN before the first
LAST = 1  # time stamp of the last sample whose stamp stood apart from the one before it
SPAN = 2  # seconds that the steps of the running measurement of the rate took
DOUBT = 3  # time stamp of a sample held back until the next one confirms it, else NaN
BEFORE = 4  # time stamp of the sample before
STRAY = 5  # time stamp of the last strayed sample that stood apart
FLOATS = 6
# What is remembered: i
NEXT = 0  # number that the next sample should have; -1 if samples are not counted
JOINED = 1  # 1 until the first sample of a new connection
OWED = 2  # samples that are known to be missing before the next one
STRAYED = 3  # samples in a row that agree on another clock than the tracked one
STEPS = 4  # of the running measurement of the rate
MEASURED = 5  # 1 after the first, short, measurement
KEPT = 6  # 1 if the sample before was given out
BUNCHED = 7  # samples since `LAST`
STRAYS = 8  # samples since `STRAY`
INTS = 9
# Settings: p
PERIOD, TOLERANCE, LONGEST, GAIN = 0, 1, 2, 3
EARLIEST, LATEST = 4, 5  # time stamps that are believed
BUNCH = 0.25  # of a period: a stamp this soon after another one does not say when the sample was
FARTHEST_S = 1e7  # a stamp further ahead than four months is a fault
DISBELIEF = 4.0  # tolerances; a number that jumps by more must agree with the time stamp
# Settings: q
RELOCK = 0  # so many strayed samples in a row: the clock itself was set
FIRST_WINDOW, WINDOW = 1, 2  # steps of a measurement of the rate
# What happened: counts
DUPLICATED, BACKWARD, UNTIMED, UNPLACED = 0, 1, 2, 3  # dropped
BAD_TIMES, CLOCK_STEPS, RESTARTS, RATES, COUNTS = 4, 5, 6, 7, 8
# What came out: columns of `out`, one row per sample
SOURCE = 0  # row in the block, -1 for the sample that was held back
MISSING = 1  # samples missing before it
SKIPPED = 2  # seconds lost before it, for good; NaN where nothing was
TIME = 3
WAYS = 4  # samples that may share a place in the memory of recent samples


def new_state(seen: int) -> tuple[Any, Any, Any, Any]:
    """f, i and the memory of recent samples (time stamps and marks) before the first sample.

    The memory has `seen` places, a power of two; a time stamp belongs to one of them.
    """
    f, i = np.full(FLOATS, np.nan), np.zeros(INTS, dtype=np.int64)
    f[SPAN], i[NEXT], i[JOINED] = 0.0, -1, 1
    return f, i, np.full(seen * WAYS, np.nan), np.zeros(seen * WAYS, dtype=np.int64)


@jitable
def place_of(time: float, p: Any, seen_s: Any) -> int:
    """Where the memory of recent samples keeps this time stamp; -1 for one out of all range."""
    if not abs(time) < 1e12:
        return -1
    step: int = int(np.floor(time / p[PERIOD])) & (seen_s.size // WAYS - 1)
    return WAYS * step


@jitable
def seen_before(time: float, mark: int, p: Any, seen_s: Any, seen_marks: Any) -> bool:
    """Whether this very sample, time stamp and values, came a short while ago."""
    at = place_of(time, p, seen_s)
    if at < 0:
        return False
    for k in range(at, at + WAYS):  # noqa: SIM110
        if seen_s[k] == time and seen_marks[k] == mark:
            return True
    return False


@jitable
def remember(time: float, mark: int, p: Any, seen_s: Any, seen_marks: Any) -> None:
    """Keep a sample among the recent ones, in place of the oldest of its place."""
    at = place_of(time, p, seen_s)
    if at < 0:
        return
    for k in range(at, at + WAYS - 1):
        seen_s[k] = seen_s[k + 1]
        seen_marks[k] = seen_marks[k + 1]
    seen_s[at + WAYS - 1] = time
    seen_marks[at + WAYS - 1] = mark


@jitable
def bunched(time: float, p: Any, f: Any) -> bool:
    """Whether samples are stamped as they are sent, several at once: then only the first tells."""
    close: bool = 0 <= time - f[BEFORE] < BUNCH * p[PERIOD]
    return close


@jitable
def strays(time: float, p: Any, q: Any, f: Any, i: Any) -> bool:
    """Count a sample that is not on the tracked clock; True once they agree on another clock.

    Stamps that stand still or jump about agree on none, however many they are.
    """
    if bunched(time, p, f) and i[STRAYED] > 0:
        i[STRAYS] += 1
        return False
    n = i[STRAYS] + 1
    agrees = abs(time - f[STRAY] - n * p[PERIOD]) <= p[TOLERANCE]  # False before the first
    i[STRAYED] = i[STRAYED] + n if agrees and i[STRAYED] > 0 else 1
    f[STRAY] = time
    i[STRAYS] = 0
    return bool(i[STRAYED] >= q[RELOCK])


@jitable
def measure(
    time: float, apart: bool, p: Any, q: Any, f: Any, i: Any, rates: Any, counts: Any
) -> None:
    """Add a step between time stamps to the measurement of the rate, unless samples are missing."""
    if bunched(time, p, f) and not apart:
        i[BUNCHED] += 1
        return
    n = i[BUNCHED] + 1
    step = time - f[LAST]
    f[LAST] = time
    i[BUNCHED] = 0
    if apart or not abs(step - n * p[PERIOD]) <= p[TOLERANCE]:
        return
    f[SPAN] += step
    i[STEPS] += n
    if i[STEPS] >= (q[WINDOW] if i[MEASURED] == 1 else q[FIRST_WINDOW]):
        rates[counts[RATES]] = i[STEPS] / max(f[SPAN], 1e-9)
        counts[RATES] += 1
        f[SPAN] = 0.0
        i[STEPS] = 0
        i[MEASURED] = 1
