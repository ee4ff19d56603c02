"""The time of a live stream: the clock of this machine, and the bins of the decoder on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm import systems
from realm.signal.binning import Binning

Floats = NDArray[np.float64]

OTHER_CLOCK_S = 60.0  # stamps this far behind now are of another clock,
AHEAD_S = 0.5  # and stamps this far ahead: no sample was taken before it was taken
USUAL_S = 0.5  # half of the time over which the usual delay of a stream is the least one


def now_s() -> float:
    """Seconds on the machine's monotonic clock.

    It never jumps and is shared by all processes of a machine. It is liblsl's clock too, so that
    LSL's time stamps need no conversion on Linux.
    """
    return _clock()


_clock: Callable[[], float] = systems.clock(systems.WINDOWS)


@contextmanager
def simulated(clock: Callable[[], float]) -> Iterator[None]:
    """Every part of a live stream reads this clock, in a `with` block; nothing waits by it."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before


def check_clock(times_s: NDArray[np.float64], source: str) -> None:
    """The first time stamps of a stream are of the present, on this clock.

    Raises:
        ValueError: they are of another clock; the message starts with `source`.
    """
    known = times_s[np.isfinite(times_s)]
    behind_s = now_s() - float(known[-1]) if len(known) else 0.0
    if not -AHEAD_S <= behind_s <= OTHER_CLOCK_S:
        told = f"{abs(behind_s):.1f} s {'behind' if behind_s > 0 else 'ahead'}"
        raise ValueError(
            f"{source}: expected times in seconds on CLOCK_MONOTONIC of this machine "
            f"(time.monotonic() in Python, local_clock() in LSL), these are {told}; correct the "
            "sender"
        )


def of_the_present(arrived_s: float) -> tuple[float, float]:
    """The earliest and the latest time stamp that a sample which arrives now can have."""
    return arrived_s - OTHER_CLOCK_S, arrived_s + AHEAD_S


class Delay:
    """How long samples usually take from their time stamp to here: the least of the last second.

    Jitter, pauses and blocks only add to it. Below zero, the time stamps are ahead.
    """

    def __init__(self) -> None:
        self._before_s = self._least_s = math.inf
        self._begun_s = -math.inf

    def add(self, delay_s: float, arrived_s: float) -> None:
        """Take the delay of a block that arrived now."""
        if not 0 <= arrived_s - self._begun_s <= USUAL_S:
            known = arrived_s - self._begun_s <= 2 * USUAL_S
            self._before_s = self._least_s if known else math.inf
            self._begun_s, self._least_s = arrived_s, math.inf
        self._least_s = min(self._least_s, delay_s)

    @property
    def usual_s(self) -> float:
        """The usual delay; 0 before the first block."""
        least_s = min(self._before_s, self._least_s)
        return least_s if math.isfinite(least_s) else 0.0


class BinsState(NamedTuple):
    """How far the decoder's bins are since its last start."""

    base: int  # number of its first bin in the stream
    heard: int  # samples taken since then
    ends_s: Floats  # (lookahead,) ends of the bins that still wait for theirs, NaN = none
    truths: Floats  # (lookahead, dims) true behavior at those ends


class Ended(NamedTuple):
    """The bins whose outputs are now complete."""

    bin: NDArray[np.int64]
    time_s: Floats  # when the bin's last sample was taken
    waited_s: Floats  # when the last sample that the output waited for was taken
    truth: Floats  # (bins, dims)


class BinClock:
    """Numbers and times of the outputs of a decoder with this bin, rate and lookahead."""

    def __init__(self, bin_ms: float, rate_hz: float, lookahead: int, dims: int) -> None:
        self._binning = Binning(bin_ms, rate_hz, 1, 1)
        self._lookahead, self._dims = lookahead, dims
        self.bin_s = bin_ms / 1000
        nothing = np.empty(0)
        self._none = Ended(np.empty(0, np.int64), nothing, nothing, np.empty((0, dims)))

    def initial_state(self, base: int = 0) -> BinsState:
        """The state of a decoder that starts at bin `base`."""
        none = np.full((self._lookahead, self._dims), np.nan)
        return BinsState(base, 0, np.full(self._lookahead, np.nan), none)

    def next_output(self, state: BinsState) -> int:
        """Number of the bin whose output comes next."""
        complete = self._binning.n_bins(state.heard)
        return state.base + max(0, complete - self._lookahead)

    def due(self, state: BinsState, more: float) -> int:
        """Number of the bin whose output would come after that of `more` more samples."""
        return self.next_output(state._replace(heard=state.heard + max(0, int(more))))

    def samples_to(self, state: BinsState, bin_: int) -> int:
        """How many more samples the output of this bin needs."""
        return self._binning.end(bin_ - state.base + 1 + self._lookahead) - state.heard

    def renewed(self, state: BinsState, skipped_s: float, at_least: int) -> BinsState:
        """The state of a decoder that starts again after this much lost time."""
        bins = state.heard / float(self._binning.samples_per_bin) + skipped_s / self.bin_s
        return self.initial_state(max(at_least, state.base + round(bins)))

    def step(self, times_s: Floats, truth: Floats, state: BinsState) -> tuple[Ended, BinsState]:
        """Take samples with these times and true behavior; the outputs that they complete."""
        heard = state.heard + len(times_s)
        ends = self._binning.ends(state.heard, heard)[1:] - state.heard - 1
        if not len(ends):
            return self._none, state._replace(heard=heard)
        waited = times_s[ends]
        all_ends = np.concatenate([state.ends_s, waited])
        truths = np.concatenate([state.truths, truth[ends]])
        done = np.flatnonzero(~np.isnan(all_ends[: len(waited)]))
        first = self.next_output(state)
        ended = Ended(
            first + np.arange(len(done), dtype=np.int64),
            all_ends[done],
            waited[done],
            truths[done],
        )
        left = len(all_ends) - self._lookahead
        return ended, BinsState(state.base, heard, all_ends[left:], truths[left:])
