"""Behavior at the ends of bins: the targets a decoder learns, and where they are known.

Bin k is decoded from samples with t < (k+1)·bin, so its target is the behavior at exactly
(k+1)·bin. Behavior is ground truth: it may be smoothed both ways in time. What was not measured
stays unknown in a mask and is never filled in, except between two known samples that are at most
two sample periods apart.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.recordings.recording import TimeSeries

Target = Literal["as_stored", "velocity", "speed"]
MAX_STEP_PERIODS = 2.0
TOLERANCE_PERIODS = 1e-6


class Aligned(NamedTuple):
    """Behavior per bin.

    Attributes:
        values: (bins, dims) float32, 0 where unknown.
        mask: (bins,) bool, True = known.
        names: of the dims.
        unit: of the values.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    names: tuple[str, ...]
    unit: str


def align(
    series: TimeSeries,
    kind: Target,
    smoothing_s: float,
    bin_ms: float,
    n_bins: int,
    start_s: float,
) -> Aligned:
    """The target `kind` at the end of each bin; `start_s` is when bin 0 begins.

    "velocity" differentiates the position, smoothed over `smoothing_s` (0 = not at all); "speed"
    is the length of that velocity; "as_stored" is the series itself, smoothed likewise.
    """
    ends_s = start_s + np.arange(1, n_bins + 1, dtype=np.float64) * (bin_ms / 1000)
    times, values, period = _regular(series)
    values = smooth(values, smoothing_s, period)
    names, unit = series.names, series.unit
    if kind != "as_stored":
        values = differentiate(values, period)
        names = tuple(f"velocity_{name}" for name in names)
        unit = f"{unit}/s"
    if kind == "speed":
        values = np.linalg.norm(values, axis=1, keepdims=True)  # (samples, 1)
        names = ("speed",)
    found = interpolate(times, values, ends_s, period)
    mask = np.asarray(np.isfinite(found).all(axis=1))
    return Aligned(np.where(mask[:, None], found, 0.0).astype(np.float32), mask, names, unit)


def interpolate(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    at: NDArray[np.float64],
    period: float,
) -> NDArray[np.float64]:
    """Linear interpolation between known rows at most two periods apart, NaN elsewhere.

    Args:
        times: (n,) increasing, seconds.
        values: (n, dims), a row with any NaN is unknown.
        at: (m,) seconds.
        period: of one sample, seconds.

    Returns:
        (m, dims).
    """
    known = np.isfinite(values).all(axis=1)
    out = np.full((len(at), values.shape[1]), np.nan)
    if not known.any():
        return out
    times, values = times[known], values[known]
    tolerance = TOLERANCE_PERIODS * period
    left = np.clip(np.searchsorted(times, at + tolerance, side="right") - 1, 0, len(times) - 1)
    right = np.minimum(left + 1, len(times) - 1)
    step = times[right] - times[left]
    on_sample = np.abs(at - times[left]) <= tolerance
    between = (at > times[left]) & (at < times[right])
    between &= step <= MAX_STEP_PERIODS * period + tolerance
    share = np.where(between & ~on_sample, (at - times[left]) / np.where(step > 0, step, 1.0), 0.0)
    mixed = values[left] + share[:, None] * (values[right] - values[left])
    usable = on_sample | between
    out[usable] = mixed[usable]
    return out


def smooth(values: NDArray[np.float64], width_s: float, period: float) -> NDArray[np.float64]:
    """Centred box of `width_s` over the known samples; unknown samples stay unknown.

    Where samples are missing on one side, the plain mean would pull the value towards the other
    side. So the box fits a line and takes its value in the middle, which is the plain mean where
    nothing is missing. A sample with less than half of its box known becomes unknown.
    """
    half = round(width_s / period / 2)
    if half < 1:
        return values
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    known = np.isfinite(values).all(axis=1)  # (samples,)
    weight: NDArray[np.float64] = np.asarray(known, dtype=np.float64)

    def moment(x: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        """Sum of x times offset to the power over the box."""
        kernel = np.power(offsets, power)[::-1]
        return np.convolve(x, kernel, mode="full")[half : half + len(x)]

    s0, s1, s2 = (moment(weight, power) for power in range(3))
    spread = s0 * s2 - s1**2
    good = known & (s0 >= half + 0.5) & (spread > 0)
    out = np.full_like(values, np.nan)
    for dim in range(values.shape[1]):
        centre = float(np.mean(values[known, dim])) if known.any() else 0.0
        y: NDArray[np.float64] = np.where(known, values[:, dim] - centre, 0.0)
        fitted = s2 * moment(y, 0) - s1 * moment(y, 1)
        out[good, dim] = fitted[good] / spread[good] + centre
    return out


def differentiate(values: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Central differences per second, one-sided next to unknown samples, NaN without neighbours."""
    step = np.diff(values, axis=0) / period  # (samples - 1, dims)
    edge = np.full((1, values.shape[1]), np.nan)
    before, after = np.concatenate([edge, step]), np.concatenate([step, edge])
    both = (before + after) / 2
    return np.where(np.isfinite(both), both, np.where(np.isfinite(before), before, after))


def _regular(series: TimeSeries) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Times, values and sample period, on a uniform grid of the median period."""
    times, values = series.timestamps_s, series.values
    if len(times) < 2:
        return times, values, 1.0
    period = float(np.median(np.diff(times)))
    n = round((times[-1] - times[0]) / period) + 1
    grid = times[0] + np.arange(n) * period
    if n == len(times) and np.abs(grid - times).max() <= 0.01 * period:
        return times, values, period
    return grid, interpolate(times, values, grid, period), period
