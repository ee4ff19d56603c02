"""Normalization: statistics of training time, fitted once, frozen, and applied to all time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realm.signal.stage import Features, Floats

CLIP = 10.0  # standard deviations


class NormalizationStatistics(NamedTuple):
    """Mean and standard deviation of each feature, and the number of bins behind them."""

    mean: Floats  # (channels, bands)
    std: Floats  # (channels, bands), never zero
    n_bins: Floats  # (channels,)


class NormalizationFit:
    """Gathers the statistics block by block, so that a recording need not fit in memory.

    Only bins without any replaced sample count. Blocks are merged by the pairwise update of
    Chan, Golub and LeVeque (1979), which keeps its precision where a mean is far from zero.
    """

    def __init__(self, n_channels: int, n_bands: int) -> None:
        self._count = np.zeros(n_channels)
        self._mean = np.zeros((n_channels, n_bands))
        self._squares = np.zeros((n_channels, n_bands))

    def update(self, values: Floats, filled: Floats) -> NormalizationFit:
        """Add raw features (bins, channels, bands) of training time; returns itself."""
        values, filled = np.asarray(values, dtype=np.float64), np.asarray(filled)
        expected = self._mean.shape
        if values.shape[1:] != expected or filled.shape != values.shape[:2]:
            raise ValueError(
                f"features: expected (bins, {expected[0]} channels, {expected[1]} bands) with "
                f"filled (bins, channels), got {values.shape} and {filled.shape}; "
                "pass both parts of the chain's output"
            )
        clean = (filled == 0)[..., None]
        count = clean.sum(axis=0).astype(np.float64)  # (channels, 1)
        some = np.maximum(count, 1)
        mean = np.where(clean, values, 0.0).sum(axis=0) / some
        squares = np.square(np.where(clean, values - mean, 0.0)).sum(axis=0)
        total = np.maximum(self._count[:, None] + count, 1)
        shift = mean - self._mean
        self._squares += squares + np.square(shift) * self._count[:, None] * count / total
        self._mean += shift * count / total
        self._count += count[:, 0]
        return self

    def result(self) -> NormalizationStatistics:
        """The statistics so far; a feature that never varied gets a deviation of one."""
        variance = self._squares / np.maximum(self._count, 1)[:, None]
        std = np.sqrt(variance)
        vague = std <= 1e-9 * np.abs(self._mean)
        return NormalizationStatistics(
            self._mean.copy(), np.where(vague | (std == 0), 1.0, std), self._count.copy()
        )


class Normalize:
    """Features in standard deviations from the training mean, clipped at ±10; no state.

    Where every sample of a bin was replaced the value is 0, the mean: it says nothing.
    """

    latency_ms = 0.0

    def __init__(self, statistics: NormalizationStatistics) -> None:
        self.statistics = statistics

    def describe(self) -> str:
        """One line for people."""
        return "standard deviations from the mean of training time"

    def initial_state(self) -> tuple[()]:
        """There is none."""
        return ()

    def step(self, x: Features, state: tuple[()]) -> tuple[Features, tuple[()]]:
        """Normalize one chunk of bins."""
        values = (x.values - self.statistics.mean) / self.statistics.std
        np.minimum(np.maximum(values, -CLIP, out=values), CLIP, out=values)
        replaced = x.filled == 1
        if replaced.any():
            values[replaced] = 0.0
        return Features(values, x.filled), state
