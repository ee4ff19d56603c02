"""Trials of small bundles, and decoders that break what a check looks for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_up import random_weights
from realm.certify.check import Check, Effort, Finding, Signal, Trial
from realm.certify.signals import draw_signal
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, Decoded, StreamingDecoder, StreamState
from realm.streaming.reference import make_reference
from realm.streaming.weights import StudentSizes

TINY = Effort(
    trials=12,
    signal_s=24.0,
    placements=1,
    draws=1,
    mutations=25,
    paced_s=0.3,
    hours=0.004,
    recording_s=20.0,
)
RATE_HZ, CHANNELS = 500.0, 12  # the last one is dead


def ordinary(samples: int, seed: int = 0) -> np.ndarray:
    """Volts of a quiet day, unlike from channel to channel."""
    rng = np.random.default_rng(seed)
    x = 1e-5 * np.cumsum(rng.normal(size=(samples, CHANNELS)), axis=0)
    x += 3e-5 * rng.normal(size=x.shape) - np.linspace(0, 1, samples)[:, None] * x[-1]
    x[:, -1] = 0.0
    return x


@functools.cache
def made_bundle(quorum: float = 0.5, lookahead_bins: int = 0) -> Bundle:
    """A fitted chain and a student of random weights."""
    names = [f"ch{i}" for i in range(CHANNELS)]
    training = ordinary(8000, seed=99)
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE_HZ, names).fit_guard(training)
    chain = chain.fit_normalization(chain.forward(training))
    sizes = StudentSizes(CHANNELS * chain.n_bands, 2, 1, 16, 8, 16, 2, 4)
    weights = random_weights(sizes, np.random.default_rng(0))
    made = Bundle(
        session_id="rat-<1>",
        subject="rat",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=lookahead_bins,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, -0.25),
        quorum=quorum,
    )

    def exact(blocks: Iterator[np.ndarray]) -> np.ndarray:
        return (
            StreamingDecoder(made, "float64", True).forward(np.concatenate(list(blocks))).behavior
        )

    return dataclasses.replace(made, reference=make_reference(chain, exact))


def trial_of(folder: Path, kind: Callable[..., StreamingDecoder] = StreamingDecoder) -> Trial:
    """A trial of the bundle in this folder, decoded by a decoder of this kind."""
    bundle = Bundle.load(folder)
    samples = drawn(bundle)
    return Trial(folder, lambda precision, plain: kind(bundle, precision, plain), samples, TINY)


_SIGNALS: dict[str, Signal] = {}


def drawn(bundle: Bundle) -> Signal:
    """The synthetic signal, drawn once for each bundle."""
    if bundle.sha256 not in _SIGNALS:
        _SIGNALS[bundle.sha256] = draw_signal(bundle.chain, TINY.signal_s, 0, lambda *_: None)
    return _SIGNALS[bundle.sha256]


def failed(findings: list[Finding]) -> set[str]:
    """Names of the checks that failed."""
    return {found.name for found in findings if isinstance(found, Check) and not found.passed}


def passed(findings: list[Finding]) -> set[str]:
    """Names of the checks that passed."""
    return {found.name for found in findings if isinstance(found, Check) and found.passed}


class Changed(StreamingDecoder):
    """A decoder whose steps a subclass changes; what it gives may be written to."""

    def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
        decoded, after = super().step(samples, state)
        return decoded._replace(behavior=self.changed(np.asarray(samples), decoded)), after

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        """The behavior that is given instead."""
        raise NotImplementedError


class LooksAhead(Changed):
    """Subtracts the sum of the chunk, as a batch method does."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return decoded.behavior - decoded.behavior.sum(axis=0, keepdims=True)


class CountsChunks(Changed):
    """Adds a trace of how many samples came together."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return decoded.behavior + np.float32(1e-3 * (len(samples) % 7))


class Forgets(StreamingDecoder):
    """Restores another state than was saved."""

    def state_from_bytes(self, content: bytes) -> StreamState:
        state = super().state_from_bytes(content)
        return state._replace(student=self._student.initial_state())


class Rounds(Changed):
    """Loses precision in single precision only."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        digits = 2 if self.engine == "numba" else 12
        return np.round(decoded.behavior, digits)


class PassesNanOn(Changed):
    """Gives NaN when samples are NaN."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        behavior = decoded.behavior.copy()
        behavior[decoded.quality.filled.any(axis=1)] = np.nan
        return behavior


class NeverRecovers(Changed):
    """After a replaced sample its output stays at zero."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        usable = decoded.quality.filled[:, :-1]
        hurt = np.logical_or.accumulate((usable > 0).any(axis=1))
        return np.where(hurt[:, None], np.float32(0), decoded.behavior)


class IgnoresTheQuorum(Changed):
    """Gives something of its own where the value should be neutral."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return np.where(decoded.quality.neutral[:, None], np.float32(1), decoded.behavior)


class LosesBins(StreamingDecoder):
    """Gives no output for one bin in a hundred."""

    def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
        decoded, after = super().step(samples, state)
        if after.bins % 100 == 0:
            decoded = Decoded(decoded.behavior[:0], decoded.quality)
        return decoded, after


class Leaks(StreamingDecoder):
    """Keeps something of every step: 16 kB a bin."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kept: list[np.ndarray] = []

    def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
        self.kept.append(np.ones(2048))
        return super().step(samples, state)
