"""However the samples are cut, and wherever a stream is saved and resumed: the same bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.agreement import same_bits
from realm.certify.check import Finding, at_most
from realm.certify.faults import disturbed
from realm.certify.trial import Trial
from realm.streaming import Decoded, Quality, StreamingDecoder

STRETCH_S = 1.0
EMPTY_SHARE = 0.1  # of the chunks
LONGEST_TRIALS = 2  # cut the whole signal, in chunks of up to minutes


def check_chunking(trial: Trial) -> list[Finding]:
    """Random chunkings, and the whole in one call."""
    rng, decoder, wrong = trial.rng("chunking"), trial.decoder, 0
    n = trial.effort.trials + LONGEST_TRIALS
    for number in trial.counted(n):
        if number < LONGEST_TRIALS:
            x = trial.signal.samples
            sizes = random_sizes(len(x), rng, smallest=len(x) // 50)
        else:
            x = trial.piece(rng, STRETCH_S)
            x = disturbed(x, trial.rate_hz, trial.usable, rng) if number % 2 else x
            sizes = random_sizes(len(x), rng)
        wrong += not equal(in_chunks(decoder, x, sizes), decoder.forward(x))
    whole_s = len(trial.signal.samples) / trial.rate_hz
    return [
        at_most(
            "chunkings that changed an output",
            wrong,
            "chunkings",
            0,
            f"{n} random chunkings, {LONGEST_TRIALS} of them of {whole_s:.0f} s; chunks of none, "
            "one and any number of samples, against the whole in one call, bit for bit",
        )
    ]


def check_resuming(trial: Trial) -> list[Finding]:
    """Save the state at a random sample, restore it, go on."""
    rng, decoder, wrong = trial.rng("resuming"), trial.decoder, 0
    n = max(5, trial.effort.trials // 10)
    for number in trial.counted(n):
        x = trial.piece(rng, 2 * STRETCH_S)
        x = disturbed(x, trial.rate_hz, trial.usable, rng) if number % 2 else x
        cut = int(rng.integers(1, len(x)))
        before, state = decoder.step(x[:cut], decoder.initial_state())
        restored = decoder.state_from_bytes(decoder.state_to_bytes(state))
        after, end = decoder.step(x[cut:], restored)
        whole, whole_end = decoder.step(x, decoder.initial_state())
        same = equal(joined([before, after]), whole)
        same = same and decoder.state_to_bytes(end) == decoder.state_to_bytes(whole_end)
        wrong += not same
    return [
        at_most(
            "streams changed by saving and restoring",
            wrong,
            "streams",
            0,
            f"{n} streams saved to bytes at a random sample and continued from them; outputs and "
            "final state compared with the uninterrupted stream, bit for bit",
        )
    ]


def random_sizes(length: int, rng: np.random.Generator, smallest: int = 1) -> list[int]:
    """Chunk lengths that sum to `length`: many scales, some of them 0."""
    sizes: list[int] = []
    left, smallest = length, max(1, smallest)
    while left:
        size = round(smallest * (max(left, smallest) / smallest) ** rng.random())
        sizes.append(0 if rng.random() < EMPTY_SHARE else min(left, size))
        left -= sizes[-1]
    return sizes


def in_chunks(decoder: StreamingDecoder, x: NDArray[np.float64], sizes: list[int]) -> Decoded:
    """Decode x in chunks of these sizes."""
    state, parts, at = decoder.initial_state(), [], 0
    for size in sizes:
        decoded, state = decoder.step(x[at : at + size], state)
        parts.append(decoded)
        at += size
    return joined(parts)


def joined(parts: list[Decoded]) -> Decoded:
    """What several chunks gave, as one."""
    qualities = zip(*(part.quality for part in parts), strict=True)
    return Decoded(
        np.concatenate([part.behavior for part in parts]),
        Quality._make(np.concatenate(field) for field in qualities),
    )


def equal(one: Decoded, other: Decoded) -> bool:
    """Equal to the last bit, behavior and quality."""
    pairs = zip((one.behavior, *one.quality), (other.behavior, *other.quality), strict=True)
    return all(same_bits(a, b) for a, b in pairs)
