"""How far the signal leads behavior: correlation of causal features with behavior at every lag.

A lag is only reported where the correlation stands clearly above that with behavior shifted by
many seconds, which has the same smoothness and no relation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.data.behavior import Target, align
from realm.recordings.recording import Recording, TimeSeries
from realm.signal import SignalChain, SignalConfig

LONGEST_S = 300.0  # of the recording that is looked at
MOST_CHANNELS = 48
REACH_MS = 600.0
CONTROLS = 24  # shifts of at least CONTROL_S
CONTROL_S = 10.0
PARTS = 8  # of the recording, for the uncertainty of a lag
MOST_UNSURE_MS = 200.0  # a lag with a larger standard error is none
APART_MS, VALLEY = 80.0, 0.9  # two peaks are two lags: this far apart, with a valley this deep
SURE = 2.0  # standard errors by which the higher of two peaks must stand out


class Lag(NamedTuple):
    """How features and behavior go together.

    Attributes:
        lag_ms: by how much features, filters included, precede behavior; None where nothing
            stands out, or another lag is as likely.
        error_ms: standard error of the lag, from parts of the recording; None without a lag.
        other_ms: another lag that is as likely; None where there is none.
        strength: mean squared correlation at that lag, 0 to 1.
        chance: the largest one with unrelated shifts.
        bands: name to the largest squared correlation of the band, over channels, dims and lags.
    """

    lag_ms: float | None
    strength: float
    chance: float
    bands: dict[str, float]
    error_ms: float | None = None
    other_ms: float | None = None


def find_lag(
    recording: Recording,
    series: TimeSeries,
    target: Target,
    smoothing_s: float,
    signal: SignalConfig,
) -> Lag | None:
    """Correlate the features of `signal` with the target; None where too little is known.

    Raises:
        ValueError: the settings do not fit the recording.
    """
    names, features = _features(recording, signal)
    bins = len(features)
    aligned = align(series, target, smoothing_s, signal.bin_ms, bins, recording.start_s)
    reach = round(REACH_MS / signal.bin_ms)
    if (
        aligned.mask.sum() < 20 * 1000 / signal.bin_ms
        or bins < 4 * CONTROL_S * 1000 / signal.bin_ms
    ):
        return None
    x = _standard(features.reshape(bins, -1), np.ones(bins, dtype=bool))
    y = _standard(aligned.values.astype(np.float64), aligned.mask)
    if not x.any() or not y.any():
        return None
    lags = np.arange(-reach, reach + 1)
    found = [_without_each_part(x, y, aligned.mask, lag) for lag in lags.tolist()]
    squared = np.stack([whole for whole, _ in found])
    parts = np.stack([left for _, left in found], axis=1)  # (parts, lags)
    curve = squared.mean(axis=(1, 2))  # (lags,)
    far = np.linspace(CONTROL_S * 1000 / signal.bin_ms, bins / 2, CONTROLS).astype(int)
    chance = max(_circular(x, y, aligned.mask, shift) for shift in far.tolist())
    best = int(np.argmax(curve))
    clear = curve[best] > 1.5 * chance and 0 < best < len(lags) - 1
    other = _as_likely(curve, parts, best, round(APART_MS / signal.bin_ms)) if clear else None
    error = _error(parts) * signal.bin_ms
    clear = clear and other is None and error < MOST_UNSURE_MS
    of_band = squared.max(axis=(0, 2)).reshape(-1, len(names)).max(axis=0)
    return Lag(
        float(lags[best] * signal.bin_ms) if clear else None,
        float(curve[best]),
        chance,
        dict(zip(names, of_band.tolist(), strict=True)),
        max(error, signal.bin_ms / 2) if clear else None,
        None if other is None else float(lags[other] * signal.bin_ms),
    )


def _without_each_part(
    x: NDArray[np.float64], y: NDArray[np.float64], known: NDArray[np.bool_], lag: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared correlation of x at bin k with y at bin k + lag, and its mean without each part.

    Returns:
        (columns of x, dims of y), and (parts,).
    """
    begin, stop = max(0, -lag), len(x) - max(0, lag)
    edges = np.linspace(begin, stop, PARTS + 1).astype(int).tolist()
    spans = list(pairwise(edges))
    sums = np.stack([x[a:b].T @ y[a + lag : b + lag] for a, b in spans])  # (parts, columns, dims)
    counts = np.array([int(known[a + lag : b + lag].sum()) for a, b in spans])
    whole, n = sums.sum(axis=0), int(counts.sum())
    left = [(whole - s) / max(1, n - c) for s, c in zip(sums, counts.tolist(), strict=True)]
    return (whole / max(1, n)) ** 2, np.array([float((each**2).mean()) for each in left])


def _error(parts: NDArray[np.float64]) -> float:
    """Standard error of the place of the highest value, in bins, by leaving out parts."""
    places = parts.argmax(axis=1).astype(np.float64)
    return float(np.sqrt((len(parts) - 1) * np.mean((places - places.mean()) ** 2)))


def _as_likely(
    curve: NDArray[np.float64], parts: NDArray[np.float64], best: int, apart: int
) -> int | None:
    """Another peak that is not surely lower than the highest one; None where there is none."""
    for at in range(1, len(curve) - 1):
        peak = curve[at] >= curve[at - 1] and curve[at] >= curve[at + 1]
        low, high = sorted((at, best))
        if not peak or high - low < apart:
            continue
        valley = curve[low : high + 1].min() < VALLEY * curve[at]
        less = parts[:, best] - parts[:, at]
        unsure = np.sqrt((len(parts) - 1) * np.mean((less - less.mean()) ** 2))
        if valley and curve[best] - curve[at] < SURE * unsure:
            return at
    return None


def _features(
    recording: Recording, signal: SignalConfig
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Band names and features (bins, channels, bands) of the first minutes."""
    rate = recording.sampling_rate_hz
    good = np.flatnonzero(~np.array(recording.bad_channels))
    kept = good[np.unique(np.linspace(0, len(good) - 1, MOST_CHANNELS).astype(int))]
    chain = SignalChain(signal, rate, [recording.channel_names[i] for i in kept.tolist()])
    samples = recording.read(0, int(LONGEST_S * rate))[:, kept]
    chain = chain.fit_guard(samples)
    features = chain.forward(samples)
    replaced = features.filled[:, :, None] > 0.5
    return chain.band_names, np.where(replaced, np.nan, features.values)


def _standard(x: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Columns with mean 0 and deviation 1 over the known rows; 0 where unknown or constant."""
    x = np.where(known[:, None] & np.isfinite(x), x, np.nan)
    counts = np.isfinite(x).sum(axis=0)
    mean = np.nansum(x, axis=0) / np.maximum(counts, 1)
    centred = np.nan_to_num(x - mean)
    deviation = np.sqrt((centred**2).sum(axis=0) / np.maximum(counts, 1))
    return np.asarray(centred / np.where(deviation > 0, deviation, np.inf))


def _circular(
    x: NDArray[np.float64], y: NDArray[np.float64], known: NDArray[np.bool_], shift: int
) -> float:
    return float(((x.T @ np.roll(y, shift, axis=0) / max(1, int(known.sum()))) ** 2).mean())
