"""Logarithm and normalization of a few numbers per bin, where calls would cost more than work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realm.compiling import behaved, compiled
from realm.signal.binning import LogPower
from realm.signal.normalize import CLIP, Normalize
from realm.signal.stage import Features


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
