"""Recordings made up for the tests of the signal chain."""

from __future__ import annotations

import numpy as np

from realm.signal import SignalChain, SignalConfig


def computed_by(engine: str, chain: SignalChain) -> SignalChain:
    """The chain as numpy or as numba computes it."""
    chosen = chain.plain() if engine == "numpy" else chain
    assert chosen.engine == engine
    return chosen


def lfp(n_samples: int, n_channels: int, rate: float, seed: int = 0) -> np.ndarray:
    """Brown noise that returns to zero, partly shared, 100 microvolts or so, with a DC offset."""
    rng = np.random.default_rng(seed)
    leak = np.exp(-2 * np.pi * 1.0 / rate)
    drive = rng.normal(size=(n_samples, n_channels)) + rng.normal(size=(n_samples, 1))
    x = np.empty_like(drive)
    level = np.zeros(n_channels)
    for n, step in enumerate(drive):
        level = leak * level + step
        x[n] = level
    return 1e-4 * x / x.std() + 3e-4


def faulty(x: np.ndarray, rate: float, seed: int = 0) -> np.ndarray:
    """The same with NaNs, infinities, spikes, gaps, flat and saturated stretches."""
    rng = np.random.default_rng(seed)
    x = x.copy()
    n, channels = x.shape
    x[rng.random(x.shape) < 2e-3] = np.nan
    x[rng.integers(n, size=3), rng.integers(channels, size=3)] = [np.inf, -np.inf, 5.0]
    for length_s, value in ((0.5, np.nan), (0.4, 3.1e-4), (0.1, 1.2e-3), (0.3, np.inf)):
        start, channel = rng.integers(n), rng.integers(channels)
        x[start : start + int(length_s * rate), channel] = value
    return x


def fitted(x: np.ndarray, rate: float, config: SignalConfig | None = None) -> SignalChain:
    """A chain with everything fitted on `x`."""
    names = [f"c{i}" for i in range(x.shape[1])]
    chain = SignalChain(config or SignalConfig(), rate, names).fit_guard(x)
    return chain.fit_normalization(chain.forward(x))


def clean_and_faulty(
    rate: float = 500.0, seconds: float = 6.0, n_channels: int = 5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A recording and what a bad day makes of it."""
    x = lfp(int(rate * seconds), n_channels, rate, seed)
    return x, faulty(x, rate, seed)
