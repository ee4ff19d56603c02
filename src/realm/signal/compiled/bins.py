"""Samples into bins, and logarithm and normalization of the few numbers of a bin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realm.compiling import behaved, compiled
from realm.signal.binning import Binning, BinState, LogPower, raw_samples
from realm.signal.normalize import CLIP, Normalize
from realm.signal.stage import Banded, Features

_SIGNATURE = (
    "void(float64[:, :, ::1], {}, int64[::1], int64[::1], float64[:, ::1], float64[::1], "
    "float64[:, :, ::1], float64[:, ::1])"
)


@compiled(_SIGNATURE.format("boolean[:, ::1]"), _SIGNATURE.format("float64[:, ::1]"))
def mean_over_bins(
    x: Any, bad: Any, cuts: Any, lengths: Any, values: Any, replaced: Any, means: Any, filled: Any
) -> None:
    """Means over the bins that end in a chunk; the sums of the unfinished bin are written over.

    Shapes: x (samples, bands, channels), bad (samples, channels), flags or shares, cuts
    (1 + bins,), lengths (bins,), values (channels, bands), replaced (channels,), means (bins,
    channels, bands), filled (bins, channels). Bin k has the rows cuts[k] to cuts[k + 1], after
    those that came before, together lengths[k] samples; the unfinished bin has the rest.
    """
    samples, bands, channels = x.shape
    sums = np.empty((bands, channels))
    sums[:] = values.T
    for k in range(cuts.size):
        finished = k + 1 < cuts.size
        for t in range(cuts[k], cuts[k + 1] if finished else samples):
            for b in range(bands):
                for c in range(channels):
                    sums[b, c] += x[t, b, c]
            for c in range(channels):
                replaced[c] += bad[t, c]
        if finished:
            for c in range(channels):
                filled[k, c] = replaced[c] / lengths[k]
                for b in range(bands):
                    means[k, c, b] = sums[b, c] / lengths[k]
            sums[:] = 0.0
            replaced[:] = 0.0
    values[:] = sums.T


class CompiledBinning:
    """As `Binning.step`."""

    def __init__(self, stage: Binning) -> None:
        self._stage = stage

    def step(self, x: Banded, state: BinState) -> tuple[Features, BinState]:
        """Bin one chunk."""
        by_band = behaved(x.values.transpose(0, 2, 1))  # as the compiled bands lay it out
        _, bands, channels = by_band.shape
        cuts, lengths = self._stage.cuts(x, state.n_samples)
        n_bins = len(lengths)
        out = Features(np.empty((n_bins, channels, bands)), np.empty((n_bins, channels)))
        after = BinState(state.n_samples + raw_samples(x), state.values.copy(), state.bad.copy())
        bad = x.bad if x.raw is None else x.raw.replaced
        mean_over_bins(by_band, behaved(bad), cuts, lengths, *after[1:], *out)
        return out, after


@compiled("void(float64[:, :, ::1], int64[::1], float64[::1])")
def log_power(x: Any, columns: Any, floor: Any) -> None:
    """Take the logarithm of some columns of x (bins, channels, bands), in place."""
    for k in range(x.shape[0]):
        for c in range(x.shape[1]):
            for column in columns:
                power = x[k, c, column]
                x[k, c, column] = math.log((0.0 if power < 0 else power) + floor[c])


@compiled("void(float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])")
def normalize(x: Any, filled: Any, mean: Any, std: Any) -> None:
    """Normalize x (bins, channels, bands) in place; where `filled` is 1 it becomes the mean."""
    for k in range(x.shape[0]):
        for c in range(x.shape[1]):
            for b in range(x.shape[2]):
                value = (x[k, c, b] - mean[c, b]) / std[c, b]
                value = CLIP if value > CLIP else value  # NaN stays NaN
                value = -CLIP if value < -CLIP else value
                x[k, c, b] = 0.0 if filled[k, c] == 1 else value


class CompiledLogPower:
    """As `LogPower.step`."""

    def __init__(self, stage: LogPower) -> None:
        self._columns = np.array(stage.columns, dtype=np.int64)
        self._floor = np.array(stage.floor, dtype=np.float64)

    def step(self, x: Features, state: tuple[()]) -> tuple[Features, tuple[()]]:
        """Take the logarithm of the power columns."""
        values = x.values.copy()
        log_power(values, self._columns, self._floor)
        return Features(values, x.filled), state


class CompiledNormalize:
    """As `Normalize.step`."""

    def __init__(self, stage: Normalize) -> None:
        mean, std = stage.statistics.mean, stage.statistics.std
        self._mean = np.array(mean, dtype=np.float64, order="C")
        self._std = np.array(std, dtype=np.float64, order="C")

    def step(self, x: Features, state: tuple[()]) -> tuple[Features, tuple[()]]:
        """Normalize one chunk of bins."""
        values = x.values.copy()
        normalize(values, behaved(x.filled), self._mean, self._std)
        return Features(values, x.filled), state
