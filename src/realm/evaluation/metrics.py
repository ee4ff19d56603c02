"""How well a decoded behavior follows the true one: R², Pearson r and their confidence.

All functions take the behavior and its decoding on one continuous span of bins,

    y, pred: (bins, dims), any unit, the same for both
    mask:    (bins,) True = behavior known; what lies under False is never looked at

and treat every dimension alike. A score that has no meaning (no known bin, behavior that does not
vary) is NaN, shown as "undefined". It is never 0: a zero is a measured failure.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Deviations below this share of the largest value are rounding, not behavior.
_ROUNDING = 1e-10


class Scores(NamedTuple):
    """The scores of one decoding on one span, averaged uniformly over the defined dimensions."""

    r2: float
    r2_low: float
    r2_high: float
    pearson_r: float


def r2_score(y: ArrayLike, pred: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Share of the behavior's variance that the decoding explains: 1 - residual / total.

    The total is taken around the mean of the known bins of this span.

    Returns:
        (dims,) at most 1; NaN where the behavior is constant or no bin is known.

    Raises:
        ValueError: shapes differ, or a number on a known bin is not finite.
    """
    y, pred = _known_bins(y, pred, mask)
    if len(y) == 0:
        return np.full(y.shape[1], np.nan)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((y - pred) ** 2).sum(axis=0)
    return _explained_share(residual, total, _smallest_total(y, np.float64(len(y))))


def mean_r2(y: ArrayLike, pred: ArrayLike, mask: ArrayLike) -> float:
    """R² averaged uniformly over the dimensions where it is defined; NaN if there is none."""
    return mean_defined(r2_score(y, pred, mask))


def pearson_r(y: ArrayLike, pred: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Linear correlation of behavior and decoding, blind to gain and offset errors.

    Returns:
        (dims,) in -1..1; NaN where either side is constant or no bin is known.

    Raises:
        ValueError: shapes differ, or a number on a known bin is not finite.
    """
    y, pred = _known_bins(y, pred, mask)
    if len(y) == 0:
        return np.full(y.shape[1], np.nan)
    a, b = y - y.mean(axis=0), pred - pred.mean(axis=0)
    power_a, power_b = (a**2).sum(axis=0), (b**2).sum(axis=0)
    n = np.float64(len(y))
    defined = (power_a > _smallest_total(y, n)) & (power_b > _smallest_total(pred, n))
    product = np.sqrt(np.where(defined, power_a * power_b, 1.0))
    return np.where(defined, np.clip((a * b).sum(axis=0) / product, -1.0, 1.0), np.nan)


def block_bootstrap(
    y: ArrayLike,
    pred: ArrayLike,
    mask: ArrayLike,
    *,
    bin_ms: float,
    block_s: float = 5.0,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of the mean R² when blocks of time are drawn again with replacement.

    Neighbouring bins are not independent, so whole blocks are drawn (Künsch 1989); each resample
    has a variance of its own. Only sums per block are resampled, so a thousand are cheap.
    It covers the chance of which stretch of this session was scored, not seeds or other sessions.

    Returns:
        (low, high) of the R² averaged over the dimensions defined on the whole span;
        (NaN, NaN) if none is, or if fewer than two blocks hold known behavior.

    Raises:
        ValueError: as in `r2_score`, or a block shorter than one bin.
    """
    bins_per_block = round(block_s * 1000.0 / bin_ms)
    if bins_per_block < 1:
        raise ValueError(
            f"expected blocks of at least one bin ({bin_ms} ms), block_s is {block_s}; "
            "choose longer blocks"
        )
    y, pred = _known_bins(y, pred, mask)
    block = np.flatnonzero(np.asarray(mask, dtype=bool)) // bins_per_block  # (known bins,)
    starts = np.flatnonzero(np.diff(block, prepend=-1))  # first known bin of each block
    if len(starts) < 2:
        return (np.nan, np.nan)

    centred = y - y.mean(axis=0)  # the sums of squares then lose no digits to the offset
    per_block = np.add.reduceat(
        np.stack([centred, centred**2, (y - pred) ** 2]), starts, axis=1
    )  # (3 sums, block, dims)
    size = np.diff(starts, append=len(y)).astype(np.float64)  # (block,)

    n_blocks = len(starts)
    generator = np.random.default_rng(seed)
    times_drawn = generator.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n)
    times_drawn = times_drawn.astype(np.float64)  # (resample, block)
    total_y, total_y2, residual = times_drawn @ per_block  # each (resample, dims)
    count = (times_drawn @ size)[:, None]
    r2 = _explained_share(residual, total_y2 - total_y**2 / count, _smallest_total(y, count))

    r2 = r2[:, np.isfinite(r2_score(y, pred, np.ones(len(y), bool)))]
    r2 = r2[np.isfinite(r2).all(axis=1)].mean(axis=1) if r2.shape[1] else r2[:0, 0:1]
    if len(r2) < n / 2:  # most resamples hold no movement: an interval would be invented
        return (np.nan, np.nan)
    low, high = np.quantile(r2, [0.025, 0.975])
    return (float(low), float(high))


def score_decoding(
    y: ArrayLike, pred: ArrayLike, mask: ArrayLike, *, bin_ms: float, seed: int = 0
) -> Scores:
    """R² with its 95% interval over 5 s blocks, and Pearson r, each the mean over dimensions."""
    low, high = block_bootstrap(y, pred, mask, bin_ms=bin_ms, seed=seed)
    correlation = mean_defined(pearson_r(y, pred, mask))
    return Scores(mean_r2(y, pred, mask), low, high, correlation)


def mean_defined(values: ArrayLike) -> float:
    """Mean of the entries that are not NaN; NaN when there is none, without a warning."""
    numbers = np.asarray(values, dtype=np.float64)
    defined = numbers[~np.isnan(numbers)]
    return float(defined.mean()) if defined.size else float("nan")


def _known_bins(y: ArrayLike, pred: ArrayLike, mask: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both series at the bins whose behavior is known, in float64, after checking them."""
    true, decoded = np.asarray(y, dtype=np.float64), np.asarray(pred, dtype=np.float64)
    known = np.asarray(mask)
    if true.ndim != 2 or decoded.shape != true.shape or known.shape != true.shape[:1]:
        raise ValueError(
            "expected behavior and decoding of one shape (bins, dims) and a mask (bins,), "
            f"arrived {true.shape}, {decoded.shape} and {known.shape}; cut them to the same span"
        )
    if known.dtype != np.bool_:
        raise ValueError(
            f"expected a boolean mask (True = behavior known), arrived {known.dtype}; "
            "convert it with mask.astype(bool)"
        )
    true, decoded = true[known], decoded[known]
    _require_finite(true, "behavior", "mark missing behavior in the mask")
    _require_finite(decoded, "decoding", "the decoder diverged; lower its learning rate")
    return true, decoded


def _require_finite(values: NDArray[Any], what: str, advice: str) -> None:
    bad = int((~np.isfinite(values).all(axis=1)).sum())
    if bad:
        raise ValueError(
            f"expected finite {what} on every known bin, {bad} of {len(values)} are not; {advice}"
        )


def _smallest_total(y: FloatArray, count: Any) -> Any:
    """Sum of squares below which a dimension counts as constant."""
    return count * (_ROUNDING * np.abs(y).max(axis=0)) ** 2


def _explained_share(residual: FloatArray, total: FloatArray, smallest: FloatArray) -> FloatArray:
    defined = total > smallest
    return np.where(defined, 1.0 - residual / np.where(defined, total, 1.0), np.nan)
