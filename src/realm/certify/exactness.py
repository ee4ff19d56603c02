"""What must not change an output: the future, the cuts into chunks, a restart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import (
    Finding,
    Trial,
    at_least,
    at_most,
    same_bits,
)
from realm.certify.faults import disturbed
from realm.streaming import Decoded, Quality, StreamingDecoder

STRETCH_S = 1.0
FUTURES = ("another signal", "NaN", "infinity", "1e308", "nothing", "a step")

Samples = NDArray[np.float64]


def check_causality(trial: Trial) -> list[Finding]:
    """Decode a stretch twice, the second time with other samples from a random one on."""
    rng, decoder, clock = trial.rng("causality"), trial.decoder, trial.clock
    differ = moved = 0
    for number in trial.counted(trial.effort.trials):
        x = trial.piece(rng, STRETCH_S)
        if number % 2:
            x = disturbed(x, trial.rate_hz, trial.usable, rng)
        cut = int(rng.integers(1, len(x)))
        other = x.copy()
        other[cut:] = _future(trial, FUTURES[number % len(FUTURES)], other[cut:], rng)
        one, two = (decoder.forward(each) for each in (x, other))
        past = clock.outputs(cut)
        parts = zip((one.behavior, *one.quality), (two.behavior, *two.quality), strict=True)
        differ += not all(same_bits(a[:past], b[:past]) for a, b in parts)
        moved += not same_bits(one.behavior[past:], two.behavior[past:])
    n = trial.effort.trials
    return [
        at_most(
            "outputs changed by a later sample",
            differ,
            "stretches",
            0,
            f"{n} stretches of {STRETCH_S:g} s, replaced from a random sample on by "
            f"{', '.join(FUTURES)}; all bits of behavior and quality before it are compared. What "
            "lies before it follows from the manifest, not from the decoder",
            "filters that run backward, statistics of the whole recording, a hidden lookahead",
        ),
        at_least(
            "outputs that followed the change",
            moved / n,
            "share",
            0.5,
            "the comparison can see a difference: later outputs do change",
            "an output that does not depend on the signal",
        ),
        _delay(trial, max(5, n // 5)),
    ]


def _delay(trial: Trial, n: int) -> Finding:
    """Replace the signal from the start of a bin on: the output of this very bin must change."""
    rng, decoder, clock, latest = trial.rng("delay"), trial.decoder, trial.clock, 0
    for _ in range(n):
        x, other = trial.piece(rng, 2 * STRETCH_S).copy(), trial.piece(rng, 2 * STRETCH_S).copy()
        first = clock.lookahead_bins + int(rng.integers(1, 50))
        cut = clock.samples(first)
        other[:cut] = x[:cut]
        one, two = (decoder.forward(each).behavior for each in (x, other))
        rows = min(len(one), len(two))
        changed = np.flatnonzero((one[:rows] != two[:rows]).any(axis=1))
        found = int(changed[0]) if len(changed) else clock.outputs(len(x))
        latest = max(latest, found - (first - clock.lookahead_bins))
    return at_most(
        "output later than the manifest says",
        latest,
        "bins",
        0,
        f"{n} stretches, replaced from the start of a random bin on; the output that this bin "
        "completes must change",
        "a hidden delay, a smoothing of the output that is not stated",
    )


def _future(trial: Trial, kind: str, old: Samples, rng: np.random.Generator) -> Samples | float:
    if kind == "another signal":
        return trial.piece(rng, STRETCH_S)[-len(old) :]
    step = old + 3 * trial.decoder.bundle.chain.limits.scale
    return {"NaN": np.nan, "infinity": np.inf, "1e308": 1e308, "nothing": 0.0}.get(kind, step)


# Chunks and restarts ---------------------------------------------------------------------------

EMPTY_SHARE = 0.1  # of the chunks
LONGEST_TRIALS = 2  # that cut the whole signal, in chunks of up to minutes


def check_chunking(trial: Trial) -> list[Finding]:
    """Compare random chunkings with the whole in one call, and count the outputs by the clock."""
    rng, decoder, clock = trial.rng("chunking"), trial.decoder, trial.clock
    wrong = miscounted = chunks = 0
    n = trial.effort.trials + LONGEST_TRIALS
    for number in trial.counted(n):
        if number < LONGEST_TRIALS:
            x = trial.signal.samples
            sizes = random_sizes(len(x), rng, smallest=len(x) // 50)
        else:
            x = trial.piece(rng, STRETCH_S)
            x = disturbed(x, trial.rate_hz, trial.usable, rng) if number % 2 else x
            sizes = random_sizes(len(x), rng)
        parts = in_chunks(decoder, x, sizes)
        wrong += not equal(joined(parts), decoder.forward(x))
        ends = np.cumsum(sizes).tolist()
        due = np.diff([clock.outputs(end) for end in [0, *ends]])
        miscounted += int(sum(len(p.behavior) != d for p, d in zip(parts, due, strict=True)))
        chunks += len(sizes)
    whole_s = len(trial.signal.samples) / trial.rate_hz
    return [
        at_most(
            "chunkings that changed an output",
            wrong,
            "chunkings",
            0,
            f"{n} random chunkings, {LONGEST_TRIALS} of them of {whole_s:.0f} s; chunks of none, "
            "one and any number of samples, against the whole in one call, bit for bit",
            "normalization by chunk, a chunk that begins anew, what is lost between chunks",
        ),
        at_most(
            "chunks with more or fewer outputs than bins",
            miscounted,
            "chunks",
            0,
            f"{chunks} chunks; the bins that are complete after each follow from the manifest",
            "lost or doubled outputs, a wrong width of bin, outputs kept back",
        ),
    ]


def check_resuming(trial: Trial) -> list[Finding]:
    """Save the state at a random sample, restore it and continue."""
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
            "what a decoder remembers outside its state, a state that is saved in part",
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


def in_chunks(decoder: StreamingDecoder, x: NDArray[np.float64], sizes: list[int]) -> list[Decoded]:
    """Decode x in chunks of these sizes."""
    state, parts, at = decoder.initial_state(), [], 0
    for size in sizes:
        decoded, state = decoder.step(x[at : at + size], state)
        parts.append(decoded)
        at += size
    return parts


def joined(parts: list[Decoded]) -> Decoded:
    """The outputs of several chunks as one."""
    qualities = zip(*(part.quality for part in parts), strict=True)
    return Decoded(
        np.concatenate([part.behavior for part in parts]),
        Quality._make(np.concatenate(field) for field in qualities),
    )


def equal(one: Decoded, other: Decoded) -> bool:
    """Equal to the last bit, behavior and quality."""
    pairs = zip((one.behavior, *one.quality), (other.behavior, *other.quality), strict=True)
    return all(same_bits(a, b) for a, b in pairs)
