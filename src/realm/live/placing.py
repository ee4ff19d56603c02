"""The place of each sample in time, one sample after the other: what `timeline.py` runs on.

It is written as plain loops over numbers, so that numba can compile it; without numba the same
code runs as Python and gives the same result. What it remembers lies in two small arrays, `f`
(float64) and `i` (int64), written over in place; the names below are positions in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import compiled, jitable

# What is remembered: f
EXPECTED = 0  # when the next sample is due; NaN before the first
LAST = 1  # time stamp of the sample before
SPAN = 2  # seconds that the steps of the running measurement of the rate took
DOUBT = 3  # time stamp of a sample held back until the next one confirms it, else NaN
FLOATS = 4
# What is remembered: i
NEXT = 0  # number that the next sample should have; -1 if samples are not counted
JOINED = 1  # 1 until the first sample of a new connection
OWED = 2  # samples that are known to be missing before the next one
STRAYED = 3  # samples in a row whose time stamps lie before, or far from, the tracked clock
STEPS = 4  # of the running measurement of the rate
MEASURED = 5  # 1 after the first, short, measurement
INTS = 6
# Settings: p
PERIOD, TOLERANCE, LONGEST, GAIN = 0, 1, 2, 3
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


def new_state(seen: int) -> tuple[Any, Any, Any, Any]:
    """f, i and the memory of recent samples (time stamps and marks) before the first sample."""
    f, i = np.full(FLOATS, np.nan), np.zeros(INTS, dtype=np.int64)
    f[SPAN], i[NEXT], i[JOINED] = 0.0, -1, 1
    return f, i, np.full(seen, np.nan), np.zeros(seen, dtype=np.int64)


@jitable
def seen_before(time: float, mark: int, seen_s: Any, seen_marks: Any) -> bool:
    """Whether this very sample, time stamp and values, came a short while ago."""
    for k in range(seen_s.size):  # noqa: SIM110
        if seen_s[k] == time and seen_marks[k] == mark:
            return True
    return False


@jitable
def accept(
    row: int,
    source: int,
    time: float,
    mark: int,
    missing: int,
    trusted: bool,
    p: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    seen_marks: Any,
    out: Any,
) -> int:
    """Give out a sample, `missing` samples after the one before; the next free row."""
    due = f[EXPECTED] + missing * p[PERIOD]
    out[row, SOURCE] = source
    out[row, MISSING] = missing
    out[row, SKIPPED] = np.nan
    out[row, TIME] = time if trusted else due
    if missing * p[PERIOD] > p[LONGEST]:
        out[row, MISSING] = 0.0
        out[row, SKIPPED] = missing * p[PERIOD]
    follow = p[GAIN] * (time - due) if trusted else 0.0
    if trusted and not np.isnan(out[row, SKIPPED]):
        follow = time - due  # what was known of the clock is too old
    f[EXPECTED] = due + follow + p[PERIOD]
    i[OWED] = 0
    i[JOINED] = 0
    if trusted:
        i[STRAYED] = 0
        at = seen_s.size - 1
        for k in range(at):
            seen_s[k] = seen_s[k + 1]
            seen_marks[k] = seen_marks[k + 1]
        seen_s[at] = time
        seen_marks[at] = mark
    return row + 1


@jitable
def start(
    row: int,
    source: int,
    time: float,
    skipped: float,
    p: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    out: Any,
) -> int:
    """Give out a sample that begins the stream anew on a clock of its own."""
    out[row, SOURCE] = source
    out[row, MISSING] = 0.0
    out[row, SKIPPED] = skipped
    out[row, TIME] = time
    f[EXPECTED] = time + p[PERIOD]
    f[DOUBT] = np.nan
    i[OWED] = 0
    i[JOINED] = 0
    i[STRAYED] = 0
    seen_s[:] = np.nan
    return row + 1


@jitable
def by_number(
    row: int,
    source: int,
    time: float,
    mark: int,
    steps: int,
    p: Any,
    q: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    seen_marks: Any,
    out: Any,
    counts: Any,
) -> int:
    """Place a sample whose number says that `steps` samples are missing before it."""
    due = f[EXPECTED] + steps * p[PERIOD]
    trusted = abs(time - due) <= p[TOLERANCE] + 1e-3 * steps * p[PERIOD]  # False for NaN
    if not trusted:
        counts[BAD_TIMES] += 1
        i[STRAYED] += 1
        if i[STRAYED] >= q[RELOCK] and not np.isnan(time):
            counts[CLOCK_STEPS] += 1  # the clock was set; the numbers say that nothing is lost
            f[EXPECTED] = time - steps * p[PERIOD]
            trusted = True
    return accept(row, source, time, mark, steps, trusted, p, f, i, seen_s, seen_marks, out)


@jitable
def joins_by_number(time: float, steps: int, p: Any, f: Any) -> bool:
    """Whether a new connection goes on counting where the one before stopped."""
    due = f[EXPECTED] + steps * p[PERIOD]
    return steps >= 0 and abs(time - due) <= p[TOLERANCE] + 1e-3 * steps * p[PERIOD]


@jitable
def by_time(
    row: int,
    source: int,
    time: float,
    mark: int,
    p: Any,
    q: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    seen_marks: Any,
    out: Any,
    counts: Any,
) -> int:
    """Place a sample by its time stamp alone. Returns the next free row, or -1 to hold it back."""
    if np.isnan(time):
        counts[BAD_TIMES] += 1
        return accept(row, source, time, mark, i[OWED], False, p, f, i, seen_s, seen_marks, out)
    off = time - f[EXPECTED] - i[OWED] * p[PERIOD]
    if off <= p[TOLERANCE] and seen_before(time, mark, seen_s, seen_marks):
        counts[DUPLICATED] += 1
        return row
    if off < -p[TOLERANCE]:
        i[STRAYED] += 1
        set_back = i[JOINED] == 1 and -off > p[LONGEST]  # another clock
        if set_back or i[STRAYED] >= q[RELOCK]:
            counts[CLOCK_STEPS] += 1
            return start(row, source, time, 0.0, p, f, i, seen_s, out)
        counts[BACKWARD] += 1
        return row
    missing = i[OWED]
    if off > p[TOLERANCE]:
        if i[OWED] == 0 and i[JOINED] == 0:
            return -1
        missing += round(off / p[PERIOD])
    return accept(row, source, time, mark, missing, True, p, f, i, seen_s, seen_marks, out)


@jitable
def settle(
    row: int,
    time: float,
    doubt_mark: int,
    p: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    seen_marks: Any,
    out: Any,
    counts: Any,
) -> int:
    """Place the sample that was held back, now that the time stamp after it is known."""
    doubt = f[DOUBT]
    f[DOUBT] = np.nan
    wrong = abs(time - f[EXPECTED] - p[PERIOD]) <= p[TOLERANCE] or time < doubt - p[TOLERANCE]
    if wrong:
        counts[BAD_TIMES] += 1
        return accept(row, -1, doubt, doubt_mark, 0, False, p, f, i, seen_s, seen_marks, out)
    missing = round((doubt - f[EXPECTED]) / p[PERIOD])
    return accept(row, -1, doubt, doubt_mark, missing, True, p, f, i, seen_s, seen_marks, out)


@jitable
def measure(
    time: float, apart: bool, p: Any, q: Any, f: Any, i: Any, rates: Any, counts: Any
) -> None:
    """Add a step between time stamps to the measurement of the rate, unless samples are missing."""
    step = time - f[LAST]
    f[LAST] = time
    if apart or not abs(step - p[PERIOD]) <= p[TOLERANCE]:
        return
    f[SPAN] += step
    i[STEPS] += 1
    if i[STEPS] >= (q[WINDOW] if i[MEASURED] == 1 else q[FIRST_WINDOW]):
        rates[counts[RATES]] = i[STEPS] / max(f[SPAN], 1e-9)
        counts[RATES] += 1
        f[SPAN] = 0.0
        i[STEPS] = 0
        i[MEASURED] = 1


@compiled(
    "(float64[::1], int64[::1], int64, int64, int64, float64[::1], int64[::1], float64[::1], "
    "int64[::1], float64[::1], int64[::1], float64[:, ::1], float64[::1], int64[::1])",
    or_plain=True,
)  # when this module is imported, never while a stream runs
def place(
    times: Any,
    marks: Any,
    first: int,
    doubt_row: int,
    doubt_mark: int,
    p: Any,
    q: Any,
    f: Any,
    i: Any,
    seen_s: Any,
    seen_marks: Any,
    out: Any,
    rates: Any,
    counts: Any,
) -> tuple[int, int, int, bool]:
    """Place the samples of a block.

    Args:
        times, marks: time stamp and checksum of each sample.
        first: number of the first sample, -1 if they are not counted.
        doubt_row, doubt_mark: -1 and the checksum of the sample that was held back before.
        p, q: settings; f, i, seen_s, seen_marks: memory, written over.
        out, rates, counts: filled; `out` has room for one more than the samples.

    Returns:
        Rows of `out`; which row of the block is now held back (-1: that from before) and its mark;
        and whether every sample has its place right after the one before.
    """
    row = 0
    for n in range(times.size):
        time, mark = times[n], marks[n]
        if not np.isfinite(time):
            time = np.nan
        if np.isnan(f[EXPECTED]):
            if np.isnan(time):
                counts[UNTIMED] += 1
                continue
            row = start(row, n, time, 0.0, p, f, i, seen_s, out)
            f[LAST] = time
            i[NEXT] = first + n + 1 if first >= 0 else -1
            continue
        twice, apart = counts[DUPLICATED], i[OWED] > 0
        steps = first + n - i[NEXT] if first >= 0 and i[NEXT] >= 0 else -1
        counted = steps >= 0 and (i[JOINED] == 0 or joins_by_number(time, steps, p, f))
        if counted:
            apart = steps > 0
            row = by_number(row, n, time, mark, steps, p, q, f, i, seen_s, seen_marks, out, counts)
        elif (
            first >= 0
            and i[NEXT] >= 0
            and i[JOINED] == 0
            and not (
                time >= f[EXPECTED] - p[TOLERANCE]
                and not seen_before(time, mark, seen_s, seen_marks)
            )
        ):
            counts[DUPLICATED] += 1
            continue
        else:
            if first >= 0 and i[NEXT] >= 0 and i[JOINED] == 0:
                counts[RESTARTS] += 1
                i[JOINED] = 1
            doubtful = not np.isnan(f[DOUBT])
            if doubtful and time == f[DOUBT] and mark == doubt_mark:
                counts[DUPLICATED] += 1
                continue
            if doubtful and not time < f[EXPECTED] - p[TOLERANCE]:
                after = f[DOUBT] + p[PERIOD] if np.isnan(time) else time
                row = settle(row, after, doubt_mark, p, f, i, seen_s, seen_marks, out, counts)
                out[row - 1, SOURCE] = doubt_row
                doubtful = False
            before = row
            row = by_time(row, n, time, mark, p, q, f, i, seen_s, seen_marks, out, counts)
            if row < 0:
                row = before
                f[DOUBT] = time
                doubt_row = n
                doubt_mark = mark
            elif doubtful and np.isnan(f[DOUBT]):
                counts[UNPLACED] += 1
        if first >= 0 and i[JOINED] == 0:
            i[NEXT] = first + n + 1
        if counts[DUPLICATED] == twice:
            measure(time, apart, p, q, f, i, rates, counts)
    in_order = row == times.size
    for k in range(row):
        in_order &= out[k, SOURCE] == k and out[k, MISSING] == 0 and np.isnan(out[k, SKIPPED])
    return row, doubt_row, doubt_mark, in_order
