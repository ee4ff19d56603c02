"""The time of a live stream: the clock of this machine, and the bins of the decoder on it."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal.binning import Binning

Floats = NDArray[np.float64]

OTHER_CLOCK_S = 60.0  # stamps this far from now are of another clock


def now_s() -> float:
    """Seconds on the machine's monotonic clock.

    It never jumps and is shared by all processes of a machine. It is liblsl's clock too, so that
    LSL's time stamps need no conversion on Linux.
    """
    return time.monotonic()


def check_clock(times_s: NDArray[np.float64], source: str) -> None:
    """The first time stamps of a stream are of the present, on this clock.

    Raises:
        ValueError: they are of another clock; the message starts with `source`.
    """
    known = times_s[np.isfinite(times_s)]
    behind_s = now_s() - float(known[-1]) if len(known) else 0.0
    if abs(behind_s) > OTHER_CLOCK_S:
        raise ValueError(
            f"{source}: expected times in seconds on CLOCK_MONOTONIC of this machine "
            f"(time.monotonic() in Python, local_clock() in LSL), these are {behind_s:.0f} s "
            "behind; correct the sender"
        )


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
