"""What a trained decoder gave on a stated signal: a part of its bundle, for `realm certify`.

The signal is not stored, it is drawn again from its seed: sums of whole random numbers over windows
of several lengths, which are the same on every machine and with every version. Its hash says so.
The outputs were computed by the side that trained, not by the code that runs on the rig.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal import SignalChain
from realm.signal.normalize import CLIP
from realm.streaming.strict import entries, number, text, whole

Floats = NDArray[np.float64]

SECONDS = 60
MOST_VALUES = 1 << 23  # samples times channels; a broadband recording gets a shorter signal
BLOCK_S = 5  # drawn at once
WINDOWS_S = (2.0, 0.5, 0.125, 0.03, 0.008, 0.002, 0.0)  # 0: one sample
EXPONENTS = (0.0, 0.25, 0.5, 0.75)  # of the windows' lengths, as weights: white to steep spectra
TRIED_S = 20.0
SEED = 20_261
FIELD_STD = 4 * (1 << 32) / 12  # variance of a sum of four whole numbers of 16 bits
NAME = "behavior"


class Reference(NamedTuple):
    """A signal and what the trained decoder gave for it."""

    seconds: int
    seed: int
    weights: tuple[float, ...]  # of `WINDOWS_S`
    input_sha256: str
    outputs: Floats  # (bins, dims) in the bundle's unit

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest holds of it."""
        return {
            "seconds": self.seconds,
            "seed": self.seed,
            "weights": list(self.weights),
            "input_sha256": self.input_sha256,
        }


def read_reference(facts: object, arrays: dict[str, Floats], dims: int) -> Reference:
    """The reference of a bundle from its manifest and its arrays.

    Raises:
        ValueError: a value is not what it must be.
    """
    told = entries(facts, "reference", "seconds", "seed", "weights", "input_sha256")
    weights = told["weights"]
    if not isinstance(weights, list) or len(weights) != len(WINDOWS_S):
        raise ValueError(f"reference.weights: expected {len(WINDOWS_S)} numbers; bundle it again")
    outputs = arrays.get(NAME)
    if set(arrays) != {NAME} or outputs is None or outputs.ndim != 2 or outputs.shape[1] != dims:
        raise ValueError(
            f"reference: expected {NAME!r} of {dims} dims, got others; bundle it again"
        )
    return Reference(
        whole(told["seconds"], "reference.seconds", 1, 3600),
        whole(told["seed"], "reference.seed", 0, 1 << 31),
        tuple(number(each, "reference.weights", 0.0, 1.0) for each in weights),
        text(told["input_sha256"], "reference.input_sha256"),
        outputs,
    )


def draw(
    chain: SignalChain, seconds: float, seed: int, weights: tuple[float, ...]
) -> Iterator[Floats]:
    """The signal in blocks (samples, channels), volts: around each channel's centre, at its scale.

    Channels that were dead in training stay at their centre.
    """
    rate, channels = chain.sampling_rate_hz, chain.n_channels
    dead = np.array([name in chain.dead_channels for name in chain.channel_names])
    scale = np.where(dead, 0.0, chain.limits.scale)
    left, number_ = round(seconds * rate), 0
    while left > 0:
        n = min(left, round(BLOCK_S * rate))
        raw = np.random.PCG64([seed, number_]).random_raw(n * channels).view(np.uint16)
        noise = raw.reshape(n, channels, 4).astype(np.int64).sum(axis=2) - 2 * 65_535
        total = np.zeros((n + 1, channels), np.int64)
        np.cumsum(noise, axis=0, out=total[1:])
        x = np.zeros((n, channels))
        for window_s, weight in zip(WINDOWS_S, weights, strict=True):
            length = min(n, max(1, round(window_s * rate)))
            summed = total[1:].copy()
            summed[length:] -= total[1 : n + 1 - length]
            x += summed * (weight / np.sqrt(length * FIELD_STD))
        yield chain.limits.centre + scale * x
        left, number_ = left - n, number_ + 1


def make_reference(chain: SignalChain, decode: Callable[[Iterator[Floats]], Floats]) -> Reference:
    """Draw a signal that suits a fitted chain, and decode it.

    Args:
        chain: of the bundle.
        decode: from blocks (samples, channels) to the outputs (bins, dims) of the trained decoder.
    """
    most = MOST_VALUES // chain.n_channels / chain.sampling_rate_hz
    seconds = int(max(1, min(SECONDS, most)))
    weights = min(map(_weights, EXPONENTS), key=lambda each: _clipped(chain, seconds, each))
    outputs = decode(draw(chain, seconds, SEED, weights))
    digest = input_sha256(chain, seconds, SEED, weights)
    return Reference(seconds, SEED, weights, digest, np.asarray(outputs, np.float64))


def input_sha256(chain: SignalChain, seconds: float, seed: int, weights: tuple[float, ...]) -> str:
    """Hash of the signal's bytes."""
    digest = hashlib.sha256()
    for block in draw(chain, seconds, seed, weights):
        digest.update(block.astype("<f8").tobytes())
    return digest.hexdigest()


def _weights(exponent: float) -> tuple[float, ...]:
    lengths = [max(window_s, 0.001) for window_s in WINDOWS_S]
    weights = np.array([length**exponent for length in lengths])
    return tuple(round(float(each), 6) for each in weights / np.sqrt(np.square(weights).sum()))


def _clipped(chain: SignalChain, seconds: float, weights: tuple[float, ...]) -> float:
    """How far the features lie from those of training: their mean size, large ones at the clip."""
    x = np.concatenate(list(draw(chain, min(seconds, TRIED_S), SEED, weights)))
    values = np.abs(chain.forward(x).values)
    return float(np.minimum(values, CLIP).mean()) if values.size else CLIP
