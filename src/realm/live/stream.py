"""One stream: samples in, rows out, everything counted; no threads, no waiting."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live import memory
from realm.live.check import SignalCheck
from realm.live.clock import AHEAD_S, BinClock, Delay, Ended, now_s, of_the_present
from realm.live.outputs import Outputs, decoded_rows, from_row, own_rows
from realm.live.settings import LiveSettings
from realm.live.status import Status
from realm.live.timeline import ANY_TIME, NOTHING, Happened, Timed, Timeline, stretches
from realm.streaming import Decoded, StreamingDecoder

Floats = NDArray[np.float64]


class Taken(NamedTuple):
    """What samples became."""

    outputs: list[Outputs]  # the rows to give
    volts: Floats  # (samples, channels) on an even time axis, NaN where one is missing
    rates_hz: Floats  # sampling rates that were measured meanwhile, mostly none


class Stream:
    """One stream of samples on its way through timeline, decoder and check of unit and rate.

    Args:
        decoder: of the bundle.
        settings: what is done when the stream is not perfect.
        status: its counters of samples, stream and bins are kept here.
        present: whether time stamps are of the present. Then no row is decoded from samples that
            are older than `late_ms` and `hold_ms` together. If not, latency is counted from `take`.

    Attributes:
        state: everything that decides what comes next; replaced, never changed, so that another
            thread may save it at any time.
        bins: numbers and times of the bins.
    """

    def __init__(
        self, decoder: StreamingDecoder, settings: LiveSettings, status: Status, present: bool
    ) -> None:
        self._decoder, self._status, self._present = decoder, status, present
        self._channels = len(decoder.channel_names)
        self._neutral = np.array(decoder.bundle.neutral, dtype=np.float64)
        dims, rate_hz = len(self._neutral), decoder.sampling_rate_hz
        self._timeline = Timeline(
            rate_hz, self._channels + dims, settings.longest_fill_s, settings.jitter_ms
        )
        self.bins = BinClock(decoder.bin_ms, rate_hz, decoder.bundle.lookahead_bins, dims)
        self.state = memory.initial_state(decoder, self._timeline, self.bins)
        self._check_s = settings.check_s
        self._check = SignalCheck(decoder, settings.check_s)
        self.state = self.state._replace(approved=int(self.checked))
        self._joins = True  # until the first samples of a connection
        self._late_s, self._hold_s = settings.late_ms / 1000, settings.hold_ms / 1000
        self._oldest_ms = settings.late_ms + settings.hold_ms
        self._delay = Delay()

    def restore(self, path: Path) -> None:
        """Continue from a saved state.

        Raises:
            ValueError: it is damaged or of another bundle.
        """
        self.state = memory.restore(path, self.state, self._decoder)
        self.part()

    @property
    def checked(self) -> bool:
        """Whether unit and rate of the connection are known to be right, or need no check."""
        return self._check.passed

    def join(self) -> None:
        """A connection begins: its unit and rate are checked."""
        self.part()
        self._check = SignalCheck(self._decoder, self._check_s)
        if self.checked:
            self._approve(True)

    def part(self) -> None:
        """The connection is over: drop the sample that is held back, forget the numbering."""
        unplaced, timeline = self._timeline.rejoined(self.state.timeline)
        self._status.samples.dropped_unplaced += unplaced
        self.state = self.state._replace(timeline=timeline)
        self._joins, self._delay = True, Delay()

    def refuse(self) -> None:
        """The connection is over, and rows are neutral until the next one is checked."""
        self._approve(False)
        self.part()

    def check(self, taken: Taken) -> str:
        """Check unit and rate of what was taken; rows are decoded once both are right.

        Returns:
            Why the source must be refused; empty if there is no reason.
        """
        for rate_hz in taken.rates_hz:
            self._status.stream.rate_hz = float(rate_hz)
        why = self._check.add(taken.volts, taken.rates_hz)
        self._status.stream.unit_ratio = self._check.unit_ratio
        if not why and self.checked:
            self._approve(True)
        return why

    def _approve(self, right: bool) -> None:
        if self.state.approved != right:
            self.state = self.state._replace(approved=int(right))

    def take(
        self,
        rows: Floats,
        times_s: Floats,
        first_index: int | None,
        lost: int,
        arrived_s: float | None = None,
    ) -> Taken:
        """Decode samples.

        Args:
            rows: (samples, channels + dims) volts and true behavior.
            times_s, first_index, lost: see `Timeline.step`.
            arrived_s: when they arrived; None for now.
        """
        taken_s = now_s()
        arrived_s = taken_s if arrived_s is None else arrived_s
        possible_s = of_the_present(arrived_s) if self._present else ANY_TIME
        timed, happened, rates, timeline = self._timeline.step(
            rows, times_s, first_index, self.state.timeline, lost, possible_s
        )
        self.state = self.state._replace(timeline=timeline)
        if happened is not NOTHING:
            self._count(happened)
        outputs = []
        for part in stretches(timed):
            if not math.isnan(part.skipped_s[0]):
                self._begin_anew(float(part.skipped_s[0]))
            outputs += self._decode(part, arrived_s if self._present else taken_s)
            self._joins = False
        if self._present and len(timed.rows):
            self._follow(arrived_s)
        return Taken(outputs, timed.rows[:, : self._channels], rates)

    def _follow(self, arrived_s: float) -> None:
        """Follow the usual delay of the stream, whose clock is not ahead of the present."""
        due_s = arrived_s + self._timeline.period_s
        expected_s = self._timeline.expected_s(self.state.timeline)
        self._delay.add(due_s - expected_s, arrived_s)
        self._status.stream.delay_ms = 1000 * self._delay.usual_s
        if expected_s > due_s + AHEAD_S:
            timeline = self._timeline.not_after(self.state.timeline, due_s)
            self.state = self.state._replace(timeline=timeline)

    def own(self, n: int, held: bool) -> Outputs:
        """The next `n` rows without samples: the last behavior (`held`), or the neutral one."""
        state = self.state
        behavior = state.behavior if held else self._neutral
        first_s = self._timeline.expected_s(state.timeline)
        first_s = now_s() if math.isnan(first_s) else first_s + self._ahead_s(state.next_bin)
        rows = own_rows(state.next_bin, n, first_s, self.bins.bin_s, behavior, held, self._channels)
        self.state = state._replace(next_bin=state.next_bin + n, behavior=behavior)
        self._status.bins.neutral_late += 0 if held else n
        return rows

    def late_bins(self, now_s: float) -> int:
        """How many rows should have been given by now, if no more samples are decoded.

        The row of a bin is given by `late_ms` after its last sample usually arrives.
        """
        silent_s = now_s - self._due_s(self._timeline.expected_s(self.state.timeline))
        if not silent_s > 0:  # False before the first sample
            return 0
        more = silent_s * self._decoder.sampling_rate_hz + 1
        return self.bins.due(self.state.bins, more) - self.state.next_bin

    def due_s(self) -> float:
        """When the next row must be given at the latest; NaN before the first sample."""
        more = self.bins.samples_to(self.state.bins, self.state.next_bin) - 1
        expected_s = self._timeline.expected_s(self.state.timeline)
        return self._due_s(expected_s + max(0, more) * self._timeline.period_s)

    def _due_s(self, time_s: float) -> float:
        """When a sample of this time is late."""
        return time_s + self._late_s + min(self._delay.usual_s, self._hold_s)

    def _ahead_s(self, bin_: int) -> float:
        """From when the next sample is due to the end of this bin."""
        waited = self.bins.samples_to(self.state.bins, bin_) - 1
        lookahead_s = self._decoder.bundle.lookahead_bins * self.bins.bin_s
        return waited / self._decoder.sampling_rate_hz - lookahead_s

    def _begin_anew(self, skipped_s: float) -> None:
        state = self.state
        bins = self.bins.renewed(state.bins, skipped_s, state.next_bin)
        self._status.bins.skipped += bins.base - state.next_bin
        self.state = state._replace(
            stream=self._decoder.initial_state(),
            bins=bins,
            next_bin=bins.base,
            approved=0 if self._joins and self._check_s > 0 else state.approved,
        )

    def _decode(self, timed: Timed, taken_s: float) -> list[Outputs]:
        state, channels = self.state, self._channels
        decoded, stream = self._decoder.step(timed.rows[:, :channels], state.stream)
        ended, bins = self.bins.step(timed.times_s, timed.rows[:, channels:], state.bins)
        state = state._replace(stream=stream, bins=bins)
        self._status.samples.decoded += int(np.count_nonzero(timed.real))
        if not len(ended.bin):
            self.state = state
            return []
        return [self._given(decoded, ended, taken_s, state)]

    def _given(
        self, decoded: Decoded, ended: Ended, taken_s: float, state: memory.LiveState
    ) -> Outputs:
        """The rows of decoded bins, without those that were already given without samples."""
        now = now_s()
        rows = decoded_rows(decoded, ended, now if self._present else None, now - taken_s)
        unfit = np.zeros(0, bool)
        if not state.approved:
            rows.behavior[:] = self._neutral
            rows.neutral[:] = True
        elif self._present and max(rows.latency_ms.tolist()) > self._oldest_ms:
            unfit = rows.latency_ms > self._oldest_ms
            unfit &= ~rows.neutral
            rows.behavior[unfit] = self._neutral
            rows.neutral[unfit] = True
        late = int(np.searchsorted(rows.bin, state.next_bin))
        if late == len(rows.bin) and self._present and now < self._due_s(ended.waited_s[-1]):
            ahead = state.next_bin - int(rows.bin[-1])  # rows without samples went ahead of time
            state = state._replace(bins=state.bins._replace(base=state.bins.base + ahead))
            rows, late = rows._replace(bin=rows.bin + ahead), late - 1
        given = from_row(rows, late) if late else rows
        if len(given.bin):
            last = given.behavior[-1].astype(np.float64)
            state = state._replace(next_bin=int(given.bin[-1]) + 1, behavior=last)
        self.state = state
        self._count_bins(given, decoded.quality.neutral[late:], unfit[late:], late)
        self._status.bins.restarted += int(np.count_nonzero(decoded.quality.restarted))
        return given

    def _count_bins(self, given: Outputs, quorum: Any, unfit: Any, late: int) -> None:
        bins, n_quorum = self._status.bins, int(np.count_nonzero(quorum))
        n_old = int(np.count_nonzero(unfit))
        bins.late += late
        bins.decoded += len(given.bin)
        bins.neutral_quorum += n_quorum
        bins.neutral_late += n_old
        bins.neutral_unchecked += int(np.count_nonzero(given.neutral)) - n_quorum - n_old
        bins.gap += int(np.count_nonzero(given.gap))
        bins.misses += int(np.count_nonzero(given.latency_ms > self._decoder.bin_ms))
        self._status.latency.add(given.latency_ms)
        if len(given.bin):
            self._status.bad_channels = int(given.bad_channels[-1])

    def _count(self, happened: Happened) -> None:
        samples, stream = self._status.samples, self._status.stream
        samples.dropped_duplicated += happened.duplicated
        samples.dropped_backward += happened.backward
        samples.dropped_untimed += happened.untimed
        samples.dropped_unplaced += happened.unplaced
        samples.filled += happened.filled
        stream.bad_times += happened.bad_times
        stream.clock_steps += happened.clock_steps
        stream.number_restarts += happened.number_restarts
        stream.gaps += happened.gaps
        stream.resets += happened.resets
