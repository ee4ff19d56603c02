"""Bundles and raw samples made up for the tests of the streaming decoder; no torch."""

from __future__ import annotations

import numpy as np

from benchmarks.made_up import random_weights
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle
from realm.streaming.weights import StudentSizes

RATE_HZ = 24414.0625 / 48  # 508.6 Hz, which 10 ms bins do not divide
CHANNELS = 6  # the last one is dead
USABLE = CHANNELS - 1
SMALL = {
    "layers": 2,
    "d_model": 16,
    "d_state": 8,
    "headdim": 16,
    "expand": 2,
    "conv_kernel": 4,
}


def ordinary(samples: int, seed: int = 0) -> np.ndarray:
    """Volts of a quiet day; the last channel is dead."""
    rng = np.random.default_rng(seed)
    x = 1e-5 * np.cumsum(rng.normal(size=(samples, CHANNELS)), axis=0)
    x += 3e-5 * rng.normal(size=x.shape) - np.linspace(0, 1, samples)[:, None] * x[-1]
    x[:, -1] = 0.0
    return x


def faulty(samples: int, seed: int = 0) -> np.ndarray:
    """The same with NaN, gaps, infinities, spikes, saturation and flat runs."""
    rng, x = np.random.default_rng(seed), ordinary(samples, seed)
    for _ in range(8):
        at, channel = int(rng.integers(samples)), int(rng.integers(CHANNELS))
        length = int(rng.integers(1, 150))
        span = (slice(at, at + length), channel)
        kind = int(rng.integers(5))
        if kind == 0:
            x[span] = np.nan
        elif kind == 1:
            x[at : at + length] = np.nan  # a gap
        elif kind == 2:
            x[at, channel] = (np.inf, -np.inf, -1.0, 1e308)[length % 4]
        elif kind == 3:
            x[span] = 0.01  # at the rail
        else:
            x[span] = x[at, channel]
    return x


def weights(sizes: StudentSizes, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a plausible student."""
    return random_weights(sizes, np.random.default_rng(seed))


def bundle(lookahead_bins: int = 0, quorum: float = 0.5, **sizes: int) -> Bundle:
    """A fitted chain with every stage and a student with random weights."""
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE_HZ, [f"ch{i}" for i in range(CHANNELS)])
    training = ordinary(8000, seed=99)
    chain = chain.fit_guard(training)
    chain = chain.fit_normalization(chain.forward(training))
    student = StudentSizes(CHANNELS * chain.n_bands, 2, **{**SMALL, **sizes})
    return Bundle(
        session_id="rat-1",
        subject="rat",
        chain=chain,
        sizes=student,
        weights=weights(student),
        lookahead_bins=lookahead_bins,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, -0.25),
        quorum=quorum,
        versions={"realm-lfp": "0"},
        provenance={"recipe": {"name": "made up"}},
    )
