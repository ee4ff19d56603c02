"""The place of each sample in time, one sample after the other: what `timeline.py` runs on.

It is written as plain loops over numbers, so that numba can compile it; without numba the same
code runs as Python and gives the same result. What it remembers is described in `stamps.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import compiled, jitable
from realm.live.stamps import (
    BACKWARD,
    BAD_TIMES,
    BEFORE,
    BUNCHED,
    CLOCK_STEPS,
    DISBELIEF,
    DOUBT,
    DUPLICATED,
    EARLIEST,
    EXPECTED,
    FARTHEST_S,
    GAIN,
    JOINED,
    KEPT,
    LAST,
    LATEST,
    LONGEST,
    MISSING,
    NEXT,
    OWED,
    PERIOD,
    RESTARTS,
    SKIPPED,
    SOURCE,
    STRAYED,
    TIME,
    TOLERANCE,
    UNPLACED,
    UNTIMED,
    bunched,
    measure,
    remember,
    seen_before,
    strays,
)


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
    follow = min(1.0, p[GAIN] * (i[BUNCHED] + 1)) * (time - due) if trusted else 0.0
    if trusted and not np.isnan(out[row, SKIPPED]):
        follow = time - due  # what was known of the clock is too old
    f[EXPECTED] = due + follow + p[PERIOD]
    i[OWED] = 0
    i[JOINED] = 0
    i[KEPT] = 1
    if trusted:
        i[STRAYED] = 0
    remember(time, mark, p, seen_s, seen_marks)
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
    i[KEPT] = 1
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
    silent = i[KEPT] == 1 and bunched(time, p, f)
    trusted = abs(time - due) <= p[TOLERANCE] + 1e-3 * steps * p[PERIOD]  # False for NaN
    trusted = trusted and not silent
    if not trusted and not silent:
        counts[BAD_TIMES] += 1
        if not np.isnan(time) and strays(time, p, q, f, i):
            counts[CLOCK_STEPS] += 1  # the clock was set; the numbers say that nothing is lost
            f[EXPECTED] = time - steps * p[PERIOD]
            trusted = True
    return accept(row, source, time, mark, steps, trusted, p, f, i, seen_s, seen_marks, out)


@jitable
def believed(time: float, steps: int, p: Any, f: Any) -> bool:
    """Whether a number may say that so many samples are missing, as far as its time stamp tells."""
    missing_s = steps * p[PERIOD]
    if abs(time - f[EXPECTED] - missing_s) <= p[TOLERANCE] + 1e-3 * missing_s:
        return True
    next_one = abs(time - f[EXPECTED]) <= p[TOLERANCE] and not bunched(time, p, f)
    return missing_s <= p[LONGEST] and not (next_one and missing_s > DISBELIEF * p[TOLERANCE])


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
    off = time - f[EXPECTED] - i[OWED] * p[PERIOD]
    if off <= p[TOLERANCE] and seen_before(time, mark, p, seen_s, seen_marks):
        counts[DUPLICATED] += 1
        return row
    if bunched(time, p, f) and i[KEPT] == 1 and i[OWED] == 0:
        return accept(row, source, time, mark, 0, False, p, f, i, seen_s, seen_marks, out)
    far = off > FARTHEST_S
    if off < -p[TOLERANCE] or far:
        set_back = i[JOINED] == 1 and -off > p[LONGEST]  # another clock
        if strays(time, p, q, f, i) or set_back:
            counts[CLOCK_STEPS] += 1
            return start(row, source, time, 0.0, p, f, i, seen_s, out)
        if not far:
            counts[BACKWARD] += 1
            i[KEPT] = 0
            return row
    if np.isnan(time) or far:
        counts[BAD_TIMES] += 1
        return accept(row, source, time, mark, i[OWED], False, p, f, i, seen_s, seen_marks, out)
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
        if not (np.isfinite(time) and p[EARLIEST] <= time <= p[LATEST]):
            time = np.nan
        if np.isnan(f[EXPECTED]):
            if np.isnan(time):
                counts[UNTIMED] += 1
                continue
            row = start(row, n, time, 0.0, p, f, i, seen_s, out)
            remember(time, mark, p, seen_s, seen_marks)
            f[LAST] = f[BEFORE] = time
            i[BUNCHED] = 0
            i[NEXT] = first + n + 1 if first >= 0 else -1
            continue
        twice, apart = counts[DUPLICATED], i[OWED] > 0
        steps = first + n - i[NEXT] if first >= 0 and i[NEXT] >= 0 else -1
        counted = steps >= 0 and (
            joins_by_number(time, steps, p, f) if i[JOINED] == 1 else believed(time, steps, p, f)
        )
        if counted:
            apart = steps > 0
            row = by_number(row, n, time, mark, steps, p, q, f, i, seen_s, seen_marks, out, counts)
        elif (
            first >= 0
            and i[NEXT] >= 0
            and i[JOINED] == 0
            and not (
                time >= f[EXPECTED] - p[TOLERANCE]
                and not seen_before(time, mark, p, seen_s, seen_marks)
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
                after = f[EXPECTED] + p[PERIOD] if np.isnan(time) else time
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
        if not np.isnan(time):
            f[BEFORE] = time
    in_order = row == times.size
    for k in range(row):
        in_order &= out[k, SOURCE] == k and out[k, MISSING] == 0 and np.isnan(out[k, SKIPPED])
    return row, doubt_row, doubt_mark, in_order
