"""Features that know the future: the signal chain with its filters run both ways in time.

For the paper-compatible protocol alone, which is how published numbers were made. Nothing that
decodes live may import this; the import order of the package keeps it so, and a test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

from realm.recordings.recording import Recording
from realm.signal import SignalChain, SignalConfig
from realm.signal.config import SLOW_NAME
from realm.signal.filters import (
    BAND_ORDER,
    HIGHPASS_ORDER,
    NOTCH_WIDTH_HZ,
    SLOW_ORDER,
    Bands,
    LineNotch,
)
from realm.signal.stage import Banded, Features, Floats, Guarded


def whole_session_features(recording: Recording, config: SignalConfig) -> NDArray[np.float32]:
    """Features of a recording, (bins, channels, bands), every one a z-score over the session.

    The stages are those of the causal chain, but the filters have no delay and look ahead, and
    guard and z-score know the whole session, test time included. The recording is in memory.
    """
    samples = recording.read(0, recording.n_samples)
    chain = SignalChain(
        config, recording.sampling_rate_hz, recording.channel_names, recording.bad_channels
    ).fit_guard(samples)
    x: Any = samples
    for stage in chain.stages:
        if isinstance(stage, LineNotch):
            x = Guarded(_notched(x.samples, stage.removed_hz, chain.filter_rate_hz), x.bad, x.raw)
        elif isinstance(stage, Bands):
            x = _bands(x, chain)
        else:
            x, _ = stage.step(x, stage.initial_state())
    return _z_score(x)


def _notched(samples: Floats, removed_hz: list[float], rate_hz: float) -> Floats:
    for frequency in removed_hz:
        sos = tf2sos(*iirnotch(frequency, frequency / NOTCH_WIDTH_HZ, fs=rate_hz))
        samples = sosfiltfilt(sos, samples, axis=0)
    return samples


def _bands(x: Guarded, chain: SignalChain) -> Banded:
    columns = [_band(x.samples, name, band, chain) for name, band in chain.bands_hz.items()]
    return Banded(np.stack(columns, axis=-1), x.bad, x.raw)  # (samples, channels, bands)


def _band(samples: Floats, name: str, band_hz: tuple[float, float], chain: SignalChain) -> Floats:
    rate, (low, high) = chain.filter_rate_hz, band_hz
    if name == SLOW_NAME:
        slow = sosfiltfilt(butter(SLOW_ORDER, high, "lowpass", fs=rate, output="sos"), samples, 0)
        if low == 0:
            return np.asarray(slow)
        drift = butter(HIGHPASS_ORDER, low, "highpass", fs=rate, output="sos")
        return np.asarray(sosfiltfilt(drift, slow, axis=0))
    sos = butter(BAND_ORDER, band_hz, "bandpass", fs=rate, output="sos")
    power = np.square(sosfiltfilt(sos, samples, axis=0))
    smoothing = chain.config.smoothing_ms * rate / 1000  # samples
    keep = float(np.exp(-1 / smoothing)) if smoothing > 0 else 0.0
    one_pole = np.array([[1 - keep, 0, 0, 1, -keep, 0]])
    return np.asarray(sosfiltfilt(one_pole, power, axis=0, padtype="even"))  # stays above zero


def _z_score(features: Features) -> NDArray[np.float32]:
    spread = features.values.std(axis=0)
    values = (features.values - features.values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    values[features.filled == 1] = 0.0
    return np.asarray(values, dtype=np.float32)
