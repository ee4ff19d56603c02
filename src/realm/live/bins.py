"""Which bin an output is, counted from the begin of the stream, and when that bin ended."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal.binning import Binning

Floats = NDArray[np.float64]


class BinsState(NamedTuple):
    """Where the decoder's bins stand since it began anew."""

    base: int  # number of its first bin in the whole stream
    heard: int  # samples
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
        """Where a decoder that begins anew at bin `base` stands."""
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
        """The state of a decoder that begins anew after so much lost time."""
        bins = state.heard / float(self._binning.samples_per_bin) + skipped_s / self.bin_s
        return self.initial_state(max(at_least, state.base + round(bins)))

    def step(self, times_s: Floats, truth: Floats, state: BinsState) -> tuple[Ended, BinsState]:
        """Hear samples with these times and true behavior; the outputs that they complete."""
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
