"""Sums of samples into bins, in the order of time."""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.signal.binning import Binning, BinState
from realm.signal.compiled.jit import behaved, loop
from realm.signal.stage import Banded, Features


@loop(
    "void(float64[:, :, ::1], boolean[:, ::1], int64, int64[::1], float64[:, ::1], float64[::1], "
    "float64[:, :, ::1], float64[:, ::1])"
)
def mean_over_bins(
    x: Any, bad: Any, start: int, ends: Any, values: Any, replaced: Any, means: Any, filled: Any
) -> None:
    """Means over the bins that end in a chunk; the sums of the unfinished bin are written over.

    Shapes: x (samples, bands, channels), bad (samples, channels), ends (1 + bins,), values
    (channels, bands), replaced (channels,), means (bins, channels, bands), filled (bins, channels).
    Bin k lies between ends[k] and ends[k + 1], counted in samples from the begin of the stream;
    the chunk begins at `start`.
    """
    samples, bands, channels = x.shape
    sums = np.empty((bands, channels))
    sums[:] = values.T
    k = 0
    for t in range(samples):
        for b in range(bands):
            for c in range(channels):
                sums[b, c] += x[t, b, c]
        for c in range(channels):
            replaced[c] += 1.0 if bad[t, c] else 0.0
        if k + 1 < ends.size and ends[k + 1] == start + t + 1:
            length = ends[k + 1] - ends[k]
            for c in range(channels):
                filled[k, c] = replaced[c] / length
                for b in range(bands):
                    means[k, c, b] = sums[b, c] / length
            sums[:] = 0.0
            replaced[:] = 0.0
            k += 1
    values[:] = sums.T


class CompiledBinning:
    """As `Binning.step`."""

    def __init__(self, stage: Binning) -> None:
        self._stage = stage

    def step(self, x: Banded, state: BinState) -> tuple[Features, BinState]:
        """Bin one chunk."""
        by_band = behaved(x.values.transpose(0, 2, 1))  # as the compiled bands lay it out
        start, (samples, bands, channels) = state.n_samples, by_band.shape
        ends = self._stage.ends(start, start + samples)
        n_bins = len(ends) - 1
        out = Features(np.empty((n_bins, channels, bands)), np.empty((n_bins, channels)))
        after = BinState(start + samples, state.values.copy(), state.bad.copy())
        mean_over_bins(by_band, behaved(x.bad), start, ends, *after[1:], *out)
        return out, after
