"""How far two decodings agree: shares of variance, deviations, times until they meet again.

Decodings are (bins, dims); every dim counts alike. Against a decoding that does not vary nothing
can be said: the result is then NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_MS = 100.0  # a decoding is back when it stays back over this long


def r2(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """Share of the variance of `truth` in `found`, mean over dims; rows with NaN are left out."""
    truth, found = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    known = np.isfinite(truth).all(axis=1)
    truth, found = truth[known], found[known]
    if not len(truth):
        return float("nan")
    total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    if not (total > 0).all():
        return float("nan")
    return float(np.mean(1 - np.square(truth - found).sum(axis=0) / total))


def deviation(exact: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference as a share of the spread of `exact`."""
    spread = exact.std(axis=0)
    if exact.shape != found.shape or not len(exact) or not (spread > 0).all():
        return float("nan")
    return float((np.abs(exact - found) / spread).max())


def back_after_s(
    clean: NDArray[Any], found: NDArray[Any], spread: NDArray[Any], bin_ms: float, share: float
) -> float:
    """Seconds from the first row until the difference stays below `share` of the spread.

    The difference is the root mean square over `WINDOW_MS`; NaN if it does not come back.
    """
    width = max(1, round(WINDOW_MS / bin_ms))
    squares = np.square((np.asarray(clean, np.float64) - found) / spread).mean(axis=1)
    rms = np.sqrt(np.convolve(squares, np.ones(width) / width, "valid"))
    outside = np.flatnonzero(~(rms <= share))
    if not len(outside):
        return 0.0
    last = int(outside[-1]) + 1
    return float("nan") if last >= len(rms) else last * bin_ms / 1000


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal in shape, type and every bit."""
    return (one.shape, one.dtype) == (other.shape, other.dtype) and one.tobytes() == other.tobytes()
