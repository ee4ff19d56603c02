"""What comes later changes nothing that was decoded before: not one bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.agreement import same_bits
from realm.certify.check import Finding, at_least, at_most
from realm.certify.faults import disturbed
from realm.certify.trial import Trial

STRETCH_S = 1.0
FUTURES = ("another signal", "NaN", "infinity", "1e308", "nothing", "a step")

Samples = NDArray[np.float64]


def check_causality(trial: Trial) -> list[Finding]:
    """Decode a stretch twice, the second time with another future from a random sample on."""
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
            f"{n} stretches of {STRETCH_S:g} s, from a random sample on replaced by "
            f"{', '.join(FUTURES)}; compared are the bits of behavior and quality before it",
        ),
        at_least(
            "outputs that followed the change",
            moved / n,
            "share",
            0.5,
            "the comparison could see a difference: afterwards the outputs do change",
        ),
    ]


def _future(trial: Trial, kind: str, old: Samples, rng: np.random.Generator) -> Samples | float:
    if kind == "another signal":
        return trial.piece(rng, STRETCH_S)[-len(old) :]
    step = old + 3 * trial.decoder.bundle.chain.limits.scale
    return {"NaN": np.nan, "infinity": np.inf, "1e308": 1e308, "nothing": 0.0}.get(kind, step)
