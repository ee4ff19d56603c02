"""How far the signal leads behavior: correlation of causal features with behavior at every lag.

A lag is only reported where the correlation stands clearly above that with behavior shifted by
many seconds, which has the same smoothness and no relation.
"""

from __future__ import annotations

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


class Lag(NamedTuple):
    """How features and behavior go together.

    Attributes:
        lag_ms: by how much features, filters included, precede behavior; None where nothing
            stands out.
        strength: mean squared correlation at that lag, 0 to 1.
        chance: the largest one with unrelated shifts.
        bands: name to the largest squared correlation of the band, over channels, dims and lags.
    """

    lag_ms: float | None
    strength: float
    chance: float
    bands: dict[str, float]


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
    squared = np.stack([_squared(x, y, aligned.mask, lag) for lag in lags.tolist()])
    curve = squared.mean(axis=(1, 2))  # (lags,)
    far = np.linspace(CONTROL_S * 1000 / signal.bin_ms, bins / 2, CONTROLS).astype(int)
    chance = max(_circular(x, y, aligned.mask, shift) for shift in far.tolist())
    best = int(np.argmax(curve))
    clear = curve[best] > 1.5 * chance and 0 < best < len(lags) - 1
    of_band = squared.max(axis=(0, 2)).reshape(-1, len(names)).max(axis=0)
    return Lag(
        float(lags[best] * signal.bin_ms) if clear else None,
        float(curve[best]),
        chance,
        dict(zip(names, of_band.tolist(), strict=True)),
    )


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


def _squared(
    x: NDArray[np.float64], y: NDArray[np.float64], known: NDArray[np.bool_], lag: int
) -> NDArray[np.float64]:
    """Squared correlation of x at bin k with y at bin k + lag, (columns of x, dims of y)."""
    x = x[: len(x) - lag] if lag >= 0 else x[-lag:]
    later = slice(lag, None) if lag >= 0 else slice(None, lag)
    return np.asarray((x.T @ y[later] / max(1, int(known[later].sum()))) ** 2)


def _circular(
    x: NDArray[np.float64], y: NDArray[np.float64], known: NDArray[np.bool_], shift: int
) -> float:
    return float(((x.T @ np.roll(y, shift, axis=0) / max(1, int(known.sum()))) ** 2).mean())
