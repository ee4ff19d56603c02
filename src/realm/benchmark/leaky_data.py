"""Data with the leaks of published protocols: filters that look ahead, shuffled segments.

For `realm paper-protocol` alone. Nothing that decodes live may import this; the import order of the
package keeps it so, and a test.

A session is filtered both ways in time and z-scored as a whole. It is then cut into segments of
10 s, and their order is changed: first those of training, then of validation, then of test, so that
test segments lie between training segments. Windows of 5 s never cross from one segment into the
next.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

from realm.data.sessions import PreparedSession, open_prepared
from realm.data.windows import WindowSource
from realm.recordings.recording import Recording
from realm.signal import SignalChain, SignalConfig
from realm.signal.features import (
    BAND_ORDER,
    HIGHPASS_ORDER,
    SLOW_ORDER,
    BandPower,
    Bands,
    SlowPotential,
)
from realm.signal.filters import NOTCH_WIDTH_HZ, LineNotch
from realm.signal.stage import Banded, Feature, Features, Floats, Guarded

SEGMENT_S, WINDOW_S = 10.0, 5.0
HELD_OUT = 0.1  # of the segments, for validation and for test each


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
            columns = [_band(x.samples, part, chain.filter_rate_hz) for part in stage.parts]
            x = Banded(np.stack(columns, axis=-1), x.bad, x.raw)  # (samples, channels, bands)
        else:
            x, _ = stage.step(x, stage.initial_state())
    return _z_score(x)


def _notched(samples: Floats, removed_hz: list[float], rate_hz: float) -> Floats:
    for frequency in removed_hz:
        sos = tf2sos(*iirnotch(frequency, frequency / NOTCH_WIDTH_HZ, fs=rate_hz))
        samples = sosfiltfilt(sos, samples, axis=0)
    return samples


def _band(samples: Floats, part: Feature, rate: float) -> Floats:
    low, high = part.band_hz
    if isinstance(part, SlowPotential):
        slow = sosfiltfilt(butter(SLOW_ORDER, high, "lowpass", fs=rate, output="sos"), samples, 0)
        if low == 0:
            return np.asarray(slow)
        drift = butter(HIGHPASS_ORDER, low, "highpass", fs=rate, output="sos")
        return np.asarray(sosfiltfilt(drift, slow, axis=0))
    if not isinstance(part, BandPower):
        raise ValueError(
            f"signal.features.{part.name}: expected slow potential or band power, which can be "
            f"computed both ways in time, got {type(part).__name__}; leave it out of this protocol"
        )
    sos = butter(BAND_ORDER, part.band_hz, "bandpass", fs=rate, output="sos")
    power = np.square(sosfiltfilt(sos, samples, axis=0))
    smoothing = part.smoothing_ms * rate / 1000  # samples
    keep = float(np.exp(-1 / smoothing)) if smoothing > 0 else 0.0
    one_pole = np.array([[1 - keep, 0, 0, 1, -keep, 0]])
    return np.asarray(sosfiltfilt(one_pole, power, axis=0, padtype="even"))  # stays above zero


def _z_score(features: Features) -> NDArray[np.float32]:
    spread = features.values.std(axis=0)
    values = (features.values - features.values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    values[features.filled == 1] = 0.0
    return np.asarray(values, dtype=np.float32)


class ShuffledSession(PreparedSession):
    """A prepared session with other features and its segments in another order."""

    arrays: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]

    @classmethod
    def of(cls, path: Path, features: NDArray[np.float32], seed: int) -> Self:
        """The session of a prepared file with `features` (bins, channels, bands).

        Raises:
            ValueError: it has too few segments for three splits.
        """
        session = cls(path, open_prepared(path))
        values, mask = PreparedSession.behavior(session, 0, session.n_bins)
        segment = 2 * window_bins(session.bin_ms)
        count = session.n_bins // segment
        held = max(1, round(HELD_OUT * count))
        if count < 2 * held + 1:
            raise ValueError(
                f"{path}: expected at least 3 segments of {SEGMENT_S:g} s, got {count}; "
                "leave this session out"
            )
        order = np.random.default_rng([seed, session.n_bins]).permutation(count)
        bins = (order[:, None] * segment + np.arange(segment)).ravel()
        session.arrays = features[bins], values[bins], mask[bins]
        session.n_bins = len(bins)
        borders = [0, *(segment * k for k in (count - 2 * held, count - held, count))]
        names = ("train", "validation", "test")
        session.splits = dict(zip(names, itertools.pairwise(borders), strict=True))
        return session

    def features(self, start: int, stop: int) -> NDArray[np.float32]:
        """Z-scored features of bins [start, stop) in the new order."""
        return self.arrays[0][start:stop]

    def behavior(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Behavior and mask of bins [start, stop) in the new order."""
        return self.arrays[1][start:stop], self.arrays[2][start:stop]


class SegmentWindows(WindowSource):
    """Windows that are halves of segments, shuffled anew in every epoch."""

    def _draw_epoch(self, epoch: int) -> list[tuple[str, int]]:
        starts: list[tuple[str, int]] = [
            (name, start)
            for name, (first, end) in self._spans.items()
            for start in range(first, end, self.window_bins)
        ]
        order = np.random.default_rng([self.seed, epoch]).permutation(len(starts))
        return [starts[k] for k in order.tolist()]


def window_bins(bin_ms: float) -> int:
    """Bins of half a segment."""
    return round(WINDOW_S * 1000 / bin_ms)


def windows_of(session: PreparedSession) -> list[int]:
    """First bin of every window of a session."""
    return list(range(0, session.n_bins, window_bins(session.bin_ms)))
