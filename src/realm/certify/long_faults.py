"""Faults that last longer than every time constant of the decoder, and what is left of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import Finding, Trial, at_least, at_most, r2
from realm.certify.faults import SMALLEST_R2

BEFORE_S, JUDGED_S = 4.0, 5.0
ALLOWED_S = 3.0  # after a masked channel may be trusted again
KINDS = ("missing", "flat", "missing on all channels")


def check_long_faults(trial: Trial) -> list[Finding]:
    """Channels are bad for longer than it takes to mask them, then good again."""
    rng, decoder, config = (
        trial.rng("long faults"),
        trial.decoder,
        trial.decoder.bundle.chain.config,
    )
    lasts_s = 1.5 * max(config.dead_ms, config.flat_ms) / 1000
    back_s = config.recovery_ms / 1000 + ALLOWED_S
    whole_s = BEFORE_S + lasts_s + back_s + JUDGED_S
    worst, masked, odd = 1.0, 0, 0
    for kind in KINDS:
        clean = _piece(trial, rng, whole_s)
        hurt, count = clean.copy(), max(1, len(trial.usable) // 10)
        channels = rng.choice(trial.usable, count, replace=False)
        channels = np.arange(clean.shape[1]) if kind.endswith("all channels") else channels
        begin, end = (round(s * trial.rate_hz) for s in (BEFORE_S, BEFORE_S + lasts_s))
        hurt[begin:end, channels] = hurt[begin, channels] if kind == "flat" else np.nan
        one, two = decoder.forward(clean), decoder.forward(hurt)
        later = trial.clock.outputs(end + round(back_s * trial.rate_hz))
        agreement = r2(one.behavior[later:], two.behavior[later:])
        worst = min(worst, agreement) if np.isfinite(agreement) else float("nan")
        left = (two.quality.filled[later:] > one.quality.filled[later:]).any(axis=0)
        masked += int(left.sum())
        odd += int((~np.isfinite(two.behavior)).sum())
    text = (
        f"{lasts_s:g} s of {', '.join(KINDS)} on a tenth of the channels, longer than the "
        f"{config.dead_ms:g} ms after which a channel is masked; from {back_s:g} s after the end on"
    )
    return [
        at_least(
            "after faults longer than all time constants",
            worst if odd == 0 else float("nan"),
            "R²",
            SMALLEST_R2,
            f"{text}, the worst agreement with the undisturbed stream",
            "a filter or student that never comes back",
        ),
        at_most(
            "channels still masked after that",
            masked,
            "channels",
            0,
            text,
            "a masked channel that never returns",
        ),
    ]


def _piece(trial: Trial, rng: np.random.Generator, seconds: float) -> NDArray[np.float64]:
    """A stretch of the signal; one that is longer than the signal goes on from its start."""
    n, samples = round(seconds * trial.rate_hz), trial.signal.samples
    start = int(rng.integers(len(samples)))
    return samples[(start + np.arange(n)) % len(samples)].copy()
