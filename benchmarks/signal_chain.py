"""The signal chain on chunks of 10 ms as they arrive, against scipy's filters of the same bands.

First the compiled filters alone, then the whole chain as it runs on a rig. The reference does less
than the chain: no guard, no reference, no bins, logarithm or normalization. The signal is clean, as
on most days: replaced samples take extra time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.signal import butter, sosfilt

from benchmarks.timing import Row, alternate, compare
from realm.signal import Bands, Guarded, SignalChain, SignalConfig, resolve_bands
from realm.signal.compiled import compiled_step
from realm.signal.config import SLOW_NAME
from realm.signal.features import BAND_ORDER, HIGHPASS_ORDER, SLOW_ORDER
from realm.signal.stage import Floats

RATE_HZ, CHUNK_SAMPLES = 1000.0, 10
VOLTS = 1e-4
BANDS_HZ = {  # beside the slow potential
    "theta": (4.0, 12.0),
    "beta": (12.0, 30.0),
    "low_gamma": (30.0, 60.0),
    "high_gamma": (70.0, 170.0),
}
TARGET = 1 / 8  # for the filters


def measure(quick: bool) -> list[Row]:
    """Two rows: the filters and the chain, on chunks of one bin, in float64."""
    channels, chunks, rounds = (4, 5, 3) if quick else (96, 100, 25)
    config = SignalConfig(preset="custom", bands_hz=BANDS_HZ)
    chain, samples = _fitted(config, channels)
    incoming = np.split(samples[: chunks * CHUNK_SAMPLES], chunks)
    plain = PlainBands(config, RATE_HZ, channels)
    (bands,) = (stage for stage in chain.stages if isinstance(stage, Bands))
    clean = [Guarded(chunk, np.zeros(chunk.shape, dtype=np.bool_)) for chunk in incoming]
    seconds = alternate(
        {
            "bands": _stream(compiled_step(bands), bands.initial_state(), clean),
            "chain": _stream(chain.step, chain.initial_state(), incoming),
            "sosfilt": _stream(plain.step, plain.initial_state(), incoming),
        },
        rounds,
    )
    shape = f"chunk of 10 ms, {channels} channels × {chain.n_bands} bands, 1 kHz"
    per_chunk = {name: taken / chunks for name, taken in seconds.items()}
    reference = ("sosfilt per band", per_chunk["sosfilt"])
    return [
        compare(f"Filters and smoothing, {shape}", per_chunk["bands"], "µs", *reference, TARGET),
        compare(f"Signal chain, {shape}", per_chunk["chain"], "µs", *reference),
    ]


def _fitted(config: SignalConfig, channels: int) -> tuple[SignalChain, Floats]:
    samples = VOLTS * np.random.default_rng(0).normal(size=(2000, channels))
    names = [f"ch{i:02d}" for i in range(channels)]
    chain = SignalChain(config, RATE_HZ, names).fit_guard(samples)
    return chain.fit_normalization(chain.forward(samples)), samples


def _stream(
    step: Callable[[Any, Any], tuple[Any, Any]], state: Any, chunks: Sequence[Any]
) -> Callable[[], None]:
    """Return a function that lets the chunks follow what came before."""

    def goes_on() -> None:
        nonlocal state
        for chunk in chunks:
            _, state = step(chunk, state)

    return goes_on


class PlainBands:
    """The filters of all bands by `scipy.signal.sosfilt`, a band and its smoothing at a time."""

    def __init__(self, config: SignalConfig, sampling_rate_hz: float, n_channels: int) -> None:
        self.n_channels = n_channels
        self.cascades: list[tuple[Floats, Floats | None]] = []
        keep = np.exp(-1000 / (config.smoothing_ms * sampling_rate_hz))
        smoothing = np.array([[1 - keep, 0, 0, 1, -keep, 0]])
        for name, band_hz in resolve_bands(config, sampling_rate_hz).items():
            if name == SLOW_NAME:
                self.cascades.append((_slow(band_hz, sampling_rate_hz), None))
            else:
                sos = butter(BAND_ORDER, band_hz, "bandpass", fs=sampling_rate_hz, output="sos")
                self.cascades.append((sos, smoothing))

    def initial_state(self) -> list[list[Floats]]:
        """All filters at rest."""
        return [
            [np.zeros((len(sos), 2, self.n_channels)) for sos in cascade if sos is not None]
            for cascade in self.cascades
        ]

    def step(self, x: Floats, state: list[list[Floats]]) -> tuple[list[Floats], list[list[Floats]]]:
        """Filter (samples, channels) into one array per band."""
        outputs, after = [], []
        for (sos, smoothing), before in zip(self.cascades, state, strict=True):
            y, band = sosfilt(sos, x, axis=0, zi=before[0])
            states = [band]
            if smoothing is not None:
                y, smooth = sosfilt(smoothing, np.square(y), axis=0, zi=before[1])
                states.append(smooth)
            outputs.append(y)
            after.append(states)
        return outputs, after


def _slow(band_hz: tuple[float, float], rate: float) -> Floats:
    low = butter(SLOW_ORDER, band_hz[1], "lowpass", fs=rate, output="sos")
    high = butter(HIGHPASS_ORDER, band_hz[0], "highpass", fs=rate, output="sos")
    return np.vstack([low, high])
