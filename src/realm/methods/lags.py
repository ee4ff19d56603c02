"""Lagged columns: what the last bins held, as the columns of a linear decoder.

Neighbouring lags are averaged into boxes ("taps") so that many channels keep a size that is solved
in seconds. With `stride` bins to a box,

    tap j of bin k = mean of bins k - (j+1)*stride + 1 ... k - j*stride

so tap 0 ends with the bin itself and nothing comes from later bins. Before the first bin of a
stream everything counts as 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_BLOCK_BINS = 4096


@dataclass(frozen=True)
class Lags:
    """How many boxes of how many bins, over how many features per bin."""

    taps: int
    stride: int
    features: int

    @classmethod
    def spread(cls, lag_bins: int, features: int, max_columns: int) -> Self:
        """Cover `lag_bins` bins with as many boxes of equal width as `max_columns` allows."""
        most = max(1, max_columns // max(1, features))
        stride = -(-lag_bins // most)
        return cls(-(-lag_bins // stride), stride, features)

    @property
    def columns(self) -> int:
        """Columns of the design: one per box and feature."""
        return self.taps * self.features

    @property
    def history(self) -> int:
        """Earlier bins that a bin's columns reach back to."""
        return self.taps * self.stride - 1

    def blocks(
        self, stream: NDArray[Any], start: int, stop: int
    ) -> Iterator[tuple[slice, FloatArray]]:
        """Columns of bins start..stop of `stream` (bins, features), a few thousand at a time.

        Every mean is summed from its own bins, not taken from a running sum: a bin's columns
        depend neither on later bins nor on where the blocks begin.

        Yields:
            (the bins, their columns (bins, columns) in float64)
        """
        for begin in range(start, stop, _BLOCK_BINS):
            end = min(begin + _BLOCK_BINS, stop)
            yield slice(begin, end), self._design(stream, begin, end)

    def _design(self, stream: NDArray[Any], begin: int, end: int) -> FloatArray:
        rows = np.zeros((self.history + end - begin, self.features))
        available = stream[max(0, begin - self.history) : end]
        rows[len(rows) - len(available) :] = available
        boxes = rows[self.stride - 1 :].copy()
        for back in range(1, self.stride):
            boxes += rows[self.stride - 1 - back : len(rows) - back]
        boxes /= self.stride
        design = np.empty((end - begin, self.taps, self.features))
        for tap in range(self.taps):
            first = (self.taps - 1 - tap) * self.stride
            design[:, tap] = boxes[first : first + end - begin]
        return design.reshape(end - begin, self.columns)
