"""Decoders with random weights, for benchmarks and tests that need no training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

RATE_HZ, VOLTS = 1000.0, 1e-4


class Size(NamedTuple):
    """Size of a decoder."""

    channels: int
    layers: int
    d_model: int
    d_state: int


TINY = Size(4, 1, 16, 8)


def random_weights(sizes: StudentSizes, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Weights of these sizes, drawn in their order: outputs neither vanish nor overflow."""
    weights = {}
    for name, shape in sizes.shapes().items():
        value = rng.normal(size=shape) / np.sqrt(shape[-1] if len(shape) > 1 else 9)
        if name.endswith(("norm", ".D", "std")):
            value = 1 + 0.2 * np.abs(value)
        weights[name] = value - 3 if name.endswith("dt.bias") else value
    return weights


def made_decoder(size: Size) -> StreamingDecoder:
    """A fitted chain with every stage and a student with random weights."""
    rng = np.random.default_rng(0)
    training = VOLTS * rng.normal(size=(8000, size.channels))
    names = [f"ch{i:02d}" for i in range(size.channels)]
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE_HZ, names).fit_guard(training)
    chain = chain.fit_normalization(chain.forward(training))
    sizes = StudentSizes(
        size.channels * chain.n_bands,
        2,
        size.layers,
        size.d_model,
        size.d_state,
        headdim=min(64, size.d_model),
        expand=2,
        conv_kernel=4,
    )
    weights = random_weights(sizes, rng)
    bundle = Bundle(
        session_id="endurance",
        subject="none",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=0,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, 0.0),
    )
    return StreamingDecoder(bundle)
