"""What must not change an output: the future, the chunks, a restart, the engine, damaged files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import (
    Finding,
    Trial,
    at_least,
    at_most,
    deviation,
    not_measured,
    same_bits,
)
from realm.certify.faults import disturbed
from realm.streaming import Bundle, Decoded, Quality, StreamingDecoder
from realm.streaming.encoders import MAMBA2

STRETCH_S = 1.0
FUTURES = ("another signal", "NaN", "infinity", "1e308", "nothing", "a step")

Samples = NDArray[np.float64]


def check_causality(trial: Trial) -> list[Finding]:
    """Decode a stretch twice, the second time with other samples from a random one on."""
    rng, decoder = trial.rng("causality"), trial.decoder
    differ = moved = 0
    for number in trial.counted(trial.effort.trials):
        x = trial.piece(rng, STRETCH_S)
        if number % 2:
            x = disturbed(x, trial.rate_hz, trial.usable, rng)
        cut = int(rng.integers(1, len(x)))
        other = x.copy()
        other[cut:] = _future(trial, FUTURES[number % len(FUTURES)], other[cut:], rng)
        one, two = (decoder.forward(each) for each in (x, other))
        past = decoder.n_outputs(cut)
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
            f"{', '.join(FUTURES)}; all bits of behavior and quality before it are compared",
        ),
        at_least(
            "outputs that followed the change",
            moved / n,
            "share",
            0.5,
            "the comparison can see a difference: later outputs do change",
        ),
    ]


def _future(trial: Trial, kind: str, old: Samples, rng: np.random.Generator) -> Samples | float:
    if kind == "another signal":
        return trial.piece(rng, STRETCH_S)[-len(old) :]
    step = old + 3 * trial.decoder.bundle.chain.limits.scale
    return {"NaN": np.nan, "infinity": np.inf, "1e308": 1e308, "nothing": 0.0}.get(kind, step)


# Chunks and restarts ---------------------------------------------------------------------------

EMPTY_SHARE = 0.1  # of the chunks
LONGEST_TRIALS = 2  # that cut the whole signal, in chunks of up to minutes


def check_chunking(trial: Trial) -> list[Finding]:
    """Compare random chunkings with the whole in one call."""
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


SINGLE = 1e-4  # of the behavior's spread: the limit for float32
PRECISION_STRETCH_S = 20.0


def check_precision(trial: Trial) -> list[Finding]:
    """Decode a stretch as live, in float64 and with numpy."""
    x = trial.piece(trial.rng("precision"), PRECISION_STRETCH_S)
    live = trial.decoder
    found = live.forward(x).behavior
    exact = trial.make("float64", True).forward(x).behavior
    stated = f"{len(x) / trial.rate_hz:.0f} s of signal; the largest difference over all outputs"
    single = at_most(
        "float32 against float64",
        deviation(exact, found),
        "of the spread",
        SINGLE,
        f"{stated}, live decoder against numpy in float64",
    )
    has_twin = live.bundle.sizes.kind == MAMBA2  # other encoders have one step, in numpy
    if live.signal_engine != "numba" or (has_twin and live.engine != "numba"):
        why = f"the student runs with {live.engine}, the signal chain with {live.signal_engine}"
        return [single, not_measured("numba against numpy", "of the spread", SINGLE, why)]
    plain = trial.make("float32", True).forward(x).behavior
    difference = deviation(plain, found)
    return [
        single,
        at_most(
            "numba against numpy", difference, "of the spread", SINGLE, f"{stated}, both in float32"
        ),
    ]


Files = dict[str, bytes]
DAMAGE = ("a bit flipped", "bytes changed", "bytes removed", "bytes added", "cut short", "missing")


def check_integrity(trial: Trial, load: Callable[[Path], object] = Bundle.load) -> list[Finding]:
    """Load the bundle again, then copies of it that were damaged at random, with this loader."""
    files = {path.name: path.read_bytes() for path in sorted(trial.folder.iterdir())}
    differs = Bundle.load(trial.folder).sha256 != trial.decoder.bundle.sha256
    rng, silent = trial.rng("integrity"), 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "bundle"
        for _ in trial.counted(trial.effort.mutations):
            _write(copy, damaged(files, rng))
            try:
                load(copy)
                silent += 1
            except ValueError:
                pass
    n = trial.effort.mutations
    return [
        at_most(
            "files that differ from the examined decoder",
            int(differs),
            "bundles",
            0,
            "verified: hashes, sizes, shapes and finite numbers of all files",
        ),
        at_most(
            "damaged copies that loaded",
            silent,
            "copies",
            0,
            f"{n} copies, each damaged at random: {', '.join(DAMAGE)}",
        ),
    ]


def damaged(files: Files, rng: np.random.Generator) -> Files:
    """The same files with one of them damaged."""
    name = str(rng.choice(sorted(files)))
    data, kind = bytearray(files[name]), str(rng.choice(DAMAGE))
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
    if kind == "missing":
        return {other: content for other, content in files.items() if other != name}
    if kind == "a bit flipped":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "bytes changed":
        part = data[at : at + length]
        data[at : at + length] = bytes(byte ^ 0xA5 for byte in part)
    elif kind == "bytes removed":
        del data[at : at + length]
    elif kind == "bytes added":
        data[at:at] = rng.bytes(length)
    else:
        del data[at:]
    return {**files, name: bytes(data)}


def _write(folder: Path, files: Files) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
