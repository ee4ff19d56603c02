"""Samples put on an even time axis: what is missing, double or late.

A decoder steps sample by sample and knows no time stamps, so a lost sample would shift all later
ones. `Timeline.step` gives every sample its place. It is pure and follows the streaming
rule: the same samples give the same result however they are cut into blocks.

| what comes | what is done |
| --- | --- |
| the next sample, within the jitter tolerance | given out; the tracked clock follows it slowly, and with it drift up to 0.1% |
| a gap up to `longest_fill_s` | rows of NaN take the place of the missing samples |
| a longer gap | the stream starts anew with the sample (`skipped_s`) |
| a sample that was there already | dropped: its number, or its time stamp and values, came before |
| a time stamp before its turn | dropped; once they agree on another clock for `RELOCK_S` the clock was set back, and the stream starts anew |
| a time stamp that is not finite or not of the present | the sample is given out in its turn |
| samples stamped as they are sent, several at once | the first gives the time, the others follow in their turn |
| one time stamp far ahead | the sample is held back until the next one says whether there is a gap |
| a number that jumps while the time stamp does not | the number is not believed; the sample is placed by its time stamp |
| a rate that is not the nominal one | measured and reported; the loop refuses it |

Where the source numbers its samples, gaps are exact and time stamps only carry the clock. Where it
does not, a gap shorter than the jitter tolerance looks like jitter, and longer ones are known to within
the jitter. A new connection may restart its numbering, so its first sample is placed by number only
if its time stamp agrees.
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live import placing, stamps

RELOCK_S = 0.25  # of samples that agree on another clock: the clock was set
MOST_SEEN = 4096  # recent samples that are remembered, to know those that come twice
ANY_TIME = (-math.inf, math.inf)
CLOCK_S = 1.0  # time constant with which the tracked clock follows the time stamps
FIRST_RATE_S, RATE_S = 1.0, 10.0  # of measurements of the rate: the first, and those after it

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class TimelineState(NamedTuple):
    """Where a stream stands in time; see `stamps.py` for what the arrays hold."""

    clock: Floats
    numbers: Counts
    seen_s: Floats  # time stamps of the last samples
    seen_marks: Counts  # checksums of their values
    held: Floats  # (columns,) values of the sample that is held back, if there is one
    held_mark: int


class Timed(NamedTuple):
    """Samples on an even time axis, one row each."""

    rows: Floats  # (samples, columns), NaN where a sample is missing
    times_s: Floats  # (samples,) time stamps, finite; of the tracked clock where they were not good
    real: NDArray[np.bool_]  # (samples,) False for those that are missing
    skipped_s: (
        Floats  # (samples,) NaN; else the stream starts anew here, after this many lost seconds
    )


class Happened(NamedTuple):
    """What was done with the samples of a block; sums of it over blocks do not depend on cuts."""

    duplicated: int = 0  # dropped: was there already
    backward: int = 0  # dropped: before its turn
    untimed: int = 0  # dropped: no time stamp, and none before it
    unplaced: int = 0  # dropped: the clock was set while it was held back
    bad_times: int = 0  # time stamps that were not used
    clock_steps: int = 0  # times that the source's clock was set
    number_restarts: int = 0  # times that the source restarted its numbering within a connection
    gaps: int = 0  # that were filled
    filled: int = 0  # samples that were filled in
    resets: int = 0  # times that the stream started anew, without its first start


NOTHING = Happened()


def stretches(timed: Timed) -> Iterator[Timed]:
    """The parts between which the stream starts anew; none is empty."""
    begins = np.flatnonzero(~np.isnan(timed.skipped_s)).tolist()
    if begins in ([], [0]) and len(timed.rows):
        yield timed
    else:
        for start, stop in pairwise(sorted({0, *begins, len(timed.rows)})):
            yield Timed._make(part[start:stop] for part in timed)


class Timeline:
    """The time axis of a stream with this nominal rate.

    Args:
        rate_hz: nominal sampling rate.
        columns: values per sample.
        longest_fill_s, jitter_ms: see `LiveSettings`; the tolerance is at least 1.5 samples.
    """

    def __init__(
        self, rate_hz: float, columns: int, longest_fill_s: float, jitter_ms: float
    ) -> None:
        self.period_s = 1 / rate_hz
        tolerance_s = max(jitter_ms / 1000, 1.5 * self.period_s)
        gain = min(1.0, self.period_s / CLOCK_S)
        self._columns = columns
        recent = min(MOST_SEEN, int(np.ceil(tolerance_s * rate_hz)) + 2)
        self._seen = 1 << (recent - 1).bit_length()
        self._p = np.array([self.period_s, tolerance_s, longest_fill_s, gain, *ANY_TIME])
        relock_s = min(longest_fill_s, RELOCK_S)
        windows = [max(2, round(s * rate_hz)) for s in (relock_s, FIRST_RATE_S, RATE_S)]
        self._q = np.array(windows, dtype=np.int64)
        some = np.arange(3.0) * self.period_s  # load the compiled code now, not during the stream
        self.step(np.zeros((3, columns)), some, None, self.initial_state())

    def initial_state(self) -> TimelineState:
        """Before the first sample."""
        f, i, seen_s, seen_marks = stamps.new_state(self._seen)
        return TimelineState(f, i, seen_s, seen_marks, np.full(self._columns, np.nan), 0)

    def expected_s(self, state: TimelineState) -> float:
        """When the next sample is due; NaN before the first."""
        return float(state.clock[stamps.EXPECTED])

    def rejoined(self, state: TimelineState) -> tuple[int, TimelineState]:
        """The state at a new connection, and how many samples (0 or 1) were held back till now."""
        f, i = state.clock.copy(), state.numbers.copy()
        unplaced = int(not np.isnan(f[stamps.DOUBT]))
        f[[stamps.DOUBT, stamps.LAST, stamps.BEFORE, stamps.STRAY]] = np.nan
        f[stamps.SPAN], i[stamps.JOINED] = 0.0, 1
        i[[stamps.OWED, stamps.STRAYED, stamps.STEPS, stamps.MEASURED]] = 0
        i[[stamps.KEPT, stamps.BUNCHED, stamps.STRAYS]] = 0
        return unplaced, state._replace(clock=f, numbers=i)

    def not_after(self, state: TimelineState, time_s: float) -> TimelineState:
        """The state whose next sample is due at `time_s` at the latest: no sample is of later."""
        if not state.clock[stamps.EXPECTED] > time_s:
            return state
        f = state.clock.copy()
        f[stamps.EXPECTED] = time_s
        return state._replace(clock=f)

    def step(
        self,
        rows: Floats,
        times_s: Floats,
        first_index: int | None,
        state: TimelineState,
        lost: int = 0,
        possible_s: tuple[float, float] = ANY_TIME,
    ) -> tuple[Timed, Happened, Floats, TimelineState]:
        """Give each sample its place.

        Args:
            rows: (samples, columns) float64, any number of samples.
            times_s: (samples,) time stamps.
            first_index: number of the first sample, None if they are not numbered.
            state: from the step before; it is not changed.
            lost: samples between the last block and this one that are known to be lost.
            possible_s: earliest and latest time stamp that is believed.

        Returns:
            The samples in their places, what happened, the measured rates (in Hz, usually none)
            and the state for the next block.
        """
        n = len(rows)
        self._p[stamps.EARLIEST :] = possible_s
        f, i = state.clock.copy(), state.numbers.copy()
        seen_s, seen_marks = state.seen_s.copy(), state.seen_marks.copy()
        if lost and first_index is None and not i[stamps.JOINED]:
            i[stamps.OWED] += lost
        marks = np.ascontiguousarray(rows).view(np.int64).sum(axis=1)
        out, counts = np.empty((n + 1, 4)), np.zeros(stamps.COUNTS, dtype=np.int64)
        rates = np.empty(n // int(self._q[1:].min()) + 2)
        begun = not np.isnan(f[stamps.EXPECTED])
        n_out, held, mark, in_order = placing.place(
            np.ascontiguousarray(times_s, dtype=np.float64),
            marks,
            -1 if first_index is None else first_index,
            -1,
            state.held_mark,
            self._p,
            self._q,
            f,
            i,
            seen_s,
            seen_marks,
            out,
            rates,
            counts,
        )
        if in_order:
            real = np.ones(n, dtype=bool)
            timed = Timed(rows, out[:n, stamps.TIME], real, out[:n, stamps.SKIPPED])
            happened = _counted(counts) if counts.any() else NOTHING
        else:
            timed = self._spread(out[:n_out], rows, state.held)
            happened = _happened(counts, out[:n_out], begun)
        kept = rows[held].copy() if held >= 0 else state.held
        after = TimelineState(f, i, seen_s, seen_marks, kept, int(mark))
        return timed, happened, rates[: counts[stamps.RATES]], after

    def _spread(self, out: Floats, rows: Floats, held: Floats) -> Timed:
        """Rows with the missing ones between them."""
        source = out[:, stamps.SOURCE].astype(np.int64)
        skipped = out[:, stamps.SKIPPED]
        chosen = rows[source] if len(rows) else np.empty((len(out), self._columns))
        chosen[source < 0] = held
        missing = out[:, stamps.MISSING].astype(np.int64)
        at = np.arange(len(out)) + np.cumsum(missing)  # where each sample goes
        n = len(out) + int(missing.sum())
        timed = Timed(
            np.full((n, self._columns), np.nan), np.empty(n), np.zeros(n, bool), np.full(n, np.nan)
        )
        timed.rows[at], timed.times_s[at] = chosen, out[:, stamps.TIME]
        timed.real[at], timed.skipped_s[at] = True, skipped
        for end, count, time in zip(at, missing, out[:, stamps.TIME], strict=True):
            before = np.arange(count, 0, -1)
            timed.times_s[end - count : end] = time - before * self.period_s
        return timed


def _happened(counts: Counts, out: Floats, begun: bool) -> Happened:
    missing = out[:, stamps.MISSING]
    fresh = int(np.count_nonzero(~np.isnan(out[:, stamps.SKIPPED])))
    return _counted(counts)._replace(
        gaps=int(np.count_nonzero(missing)),
        filled=int(missing.sum()),
        resets=fresh - int(fresh > 0 and not begun),
    )


def _counted(counts: Counts) -> Happened:
    return Happened(*counts[: stamps.RATES].tolist())
