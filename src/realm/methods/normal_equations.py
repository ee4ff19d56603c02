"""The normal equations of lagged columns, accumulated once for all penalties.

The columns of a bin are boxes of bins before it, so the product of two boxes returns, one stride
later, as that of the next two: of the matrix of all products only the first row of blocks is
summed over the recording. Every further block is the one up and left of it, plus what entered at
the edges of the known bins and minus what left there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from realm.methods.lags import FloatArray, Lags


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
