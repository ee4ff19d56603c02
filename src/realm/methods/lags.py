"""Lagged columns: what the last bins held, as the columns of a linear decoder.

Neighbouring lags are averaged into boxes ("taps") so that many channels keep a size that is solved
in seconds. With `stride` bins to a box,

    tap j of bin k = mean of bins k - (j+1)*stride + 1 ... k - j*stride

so tap 0 ends with the bin itself and nothing comes from later bins. Before the first bin of a
stream everything counts as 0.

The normal equations of such columns are accumulated once for all penalties. The columns of a bin
are boxes of bins before it, so the product of two boxes returns, one stride later, as that of the
next two: of the matrix of all products only the first row of blocks is summed over the recording.
Every further block is the one up and left of it, plus what entered at the edges of the known bins
and minus what left there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

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


class NormalEquations(NamedTuple):
    """Sums over the known training bins, from which the weights of any penalty follow."""

    gram: FloatArray  # (columns, columns), centred
    cross: FloatArray  # (columns, dims), centred
    x_mean: FloatArray  # (columns,)
    y_mean: FloatArray  # (dims,)
    bins: int

    def solve(self, penalty: float) -> FloatArray:
        """Weights (columns, dims) at this penalty, by Cholesky."""
        damped = self.gram.copy()
        variance = np.trace(damped) / len(damped) or 1.0  # features that never vary: any penalty
        damped[np.diag_indices_from(damped)] += penalty * variance
        factor = cho_factor(damped.T, overwrite_a=True)  # symmetric: transposed, nothing is copied
        return np.asarray(cho_solve(factor, self.cross), dtype=np.float64)


def normal_equations(
    lags: Lags,
    stream: NDArray[Any],
    behavior: FloatArray,
    mask: NDArray[np.bool_],
    train: tuple[int, int],
) -> NormalEquations:
    """Accumulate the sums over the known bins of `train`, of which there must be one."""
    known = np.zeros(len(stream), bool)
    known[slice(*train)] = mask[slice(*train)]
    y_mean = behavior[known].mean(axis=0)
    edges = _edges(known, lags.stride)
    whole = lags.taps == 1 or bool(np.count_nonzero(edges) >= np.count_nonzero(known))
    products = _Products(lags, behavior.shape[1])
    for bins, columns in lags.blocks(stream, *train):
        chosen = columns[known[bins]]
        products.add(chosen, behavior[bins][known[bins]] - y_mean, whole)
    if not whole:
        _shift(products.gram, lags, _signed(lags, stream, edges))
    x_mean, count = products.total / products.bins, products.bins
    gram = products.gram - count * np.outer(x_mean, x_mean)
    return NormalEquations(gram, products.cross, x_mean, y_mean, count)  # y is centred: so is cross


class _Products:
    """Sums of products over bins: of all columns, or of the first box with all columns."""

    def __init__(self, lags: Lags, dims: int) -> None:
        self.features = lags.features
        self.gram = np.zeros((lags.columns, lags.columns))
        self.cross, self.total = np.zeros((lags.columns, dims)), np.zeros(lags.columns)
        self.bins = 0

    def add(self, columns: FloatArray, y: FloatArray, whole: bool) -> None:
        """Add bins: columns (bins, columns), y (bins, dims)."""
        rows = slice(None) if whole else slice(0, self.features)
        self.gram[rows] += columns[:, rows].T @ columns
        self.cross += columns.T @ y
        self.total += columns.sum(axis=0)
        self.bins += len(columns)


def _edges(known: NDArray[np.bool_], stride: int) -> NDArray[np.int64]:
    """By bin: 1 where a bin one stride later is known and it is not, -1 the other way round."""
    later = np.zeros(len(known), np.int64)
    later[: len(known) - stride] = known[stride:]
    return later - known


def _signed(
    lags: Lags, stream: NDArray[Any], edges: NDArray[np.int64]
) -> Iterator[tuple[FloatArray, NDArray[np.int64]]]:
    """Columns of the edges, and the sign of each."""
    for first, last in _runs(edges != 0):
        for bins, columns in lags.blocks(stream, first, last):
            yield columns, edges[bins]


def _runs(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First bin, and bin after the last, of every run of chosen bins."""
    borders = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    return [(int(a), int(b)) for a, b in borders.reshape(-1, 2)]


def _shift(
    gram: FloatArray, lags: Lags, signed: Iterator[tuple[FloatArray, NDArray[np.int64]]]
) -> None:
    """Complete a matrix of which the first row of blocks is known."""
    width, columns = lags.features, lags.columns
    inner = columns - width
    change = np.zeros((inner, inner))
    for rows, signs in signed:
        change += (rows[:, :inner] * signs[:, None]).T @ rows[:, :inner]
    for tap in range(1, lags.taps):
        above, here = slice((tap - 1) * width, tap * width), slice(tap * width, (tap + 1) * width)
        # From the diagonal on: what is left of it is its mirror image.
        old = slice((tap - 1) * width, inner)
        gram[here, tap * width :] = gram[above, old] + change[above, old]
        gram[here, : tap * width] = gram[: tap * width, here].T
