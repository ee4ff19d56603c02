"""After a fault: never a number that is not finite, and soon the output of the clean stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.agreement import back_after_s, r2
from realm.certify.check import Finding, at_least, at_most, reading
from realm.certify.faults import FAULTS, Fault, harmed
from realm.certify.trial import Trial
from realm.streaming import Decoded

BEFORE_S, ALLOWED_S, AFTER_S = 4.0, 1.0, 6.0
SHARE = 0.05  # of the clean stream's spread
SMALLEST_R2 = 1 - SHARE

Pair = tuple[NDArray[np.float64], NDArray[np.float64], int]  # clean, harmed, first bin after it


def check_recovery(trial: Trial) -> list[Finding]:
    """Every fault at random places of a stream, against the same stream without it."""
    rng, findings, odd, outputs = trial.rng("recovery"), [], 0, 0
    for number in trial.counted(len(FAULTS)):
        pairs = [_pair(trial, FAULTS[number], rng) for _ in range(trial.effort.placements)]
        odd += sum(int((~np.isfinite(found)).sum()) for _, found, _ in pairs)
        outputs += sum(found.size for _, found, _ in pairs)
        findings += _judged(trial, FAULTS[number], pairs)
    detail = f"{outputs} numbers under {len(FAULTS)} kinds of faults"
    return [at_most("outputs that are not finite", odd, "numbers", 0, detail), *findings]


def _pair(trial: Trial, fault: Fault, rng: np.random.Generator) -> Pair:
    decoder = trial.decoder
    clean = trial.piece(rng, BEFORE_S + fault.lasts_s + ALLOWED_S + AFTER_S)
    at = round((BEFORE_S - 0.5 * rng.random()) * trial.rate_hz)
    changed, stop = harmed(clean, fault, at, trial.rate_hz, trial.usable, rng)
    one, two = decoder.forward(clean).behavior, decoder.forward(changed).behavior
    return one, two, decoder.n_outputs(stop)


def _judged(trial: Trial, fault: Fault, pairs: list[Pair]) -> list[Finding]:
    allowed = round(1000 * ALLOWED_S / trial.decoder.bin_ms)
    later = [(clean[end + allowed :], found[end + allowed :]) for clean, found, end in pairs]
    clean, found = (np.concatenate(part) for part in zip(*later, strict=True))
    agreement = r2(clean, found) if np.isfinite(found).all() else float("nan")
    spread = np.maximum(clean.std(axis=0), np.finfo(np.float64).tiny)
    bin_ms = trial.decoder.bin_ms
    times = [back_after_s(one[end:], two[end:], spread, bin_ms, SHARE) for one, two, end in pairs]
    n = len(pairs)
    return [
        at_least(
            f"after {fault.name}",
            agreement,
            "R²",
            SMALLEST_R2,
            f"output against that of the clean stream, from {ALLOWED_S:g} s after the fault on; "
            f"random places: {n}",
        ),
        reading(
            f"back after {fault.name}",
            max(times, key=lambda t: np.inf if np.isnan(t) else t),
            "s",
            f"until within {100 * SHARE:g}% of the clean stream's spread for good, slowest place",
        ),
    ]


def check_quorum(trial: Trial) -> list[Finding]:
    """Lose just too many channels: the declared neutral value; lose one less: an output."""
    decoder, bundle = trial.decoder, trial.decoder.bundle
    alive = trial.usable
    if bundle.quorum == 0 or not len(alive):
        text = "this bundle declares no quorum: it decodes however few channels are good"
        return [reading("quorum", bundle.quorum, "of the channels", text)]
    most = max(k for k in range(len(alive) + 1) if (len(alive) - k) / len(alive) >= bundle.quorum)
    rng, wrong = trial.rng("quorum"), []
    for lost in (most, most + 1):
        x = trial.piece(rng, BEFORE_S).copy()
        x[:, rng.choice(alive, lost, replace=False)] = np.nan
        wrong.append(_not_as_declared(decoder.forward(x), bundle.neutral, lost > most))
    return [
        at_most(
            "outputs not as the quorum declares",
            sum(wrong),
            "bins",
            0,
            f"with {most + 1} of {len(alive)} channels lost every output is the neutral value and "
            f"flagged, with {most} none is (quorum {100 * bundle.quorum:g}%)",
        )
    ]


def _not_as_declared(decoded: Decoded, neutral: tuple[float, ...], below: bool) -> int:
    flagged = decoded.quality.neutral
    if not below:
        return int(flagged.sum())
    value = np.asarray(neutral, decoded.behavior.dtype)
    return int((~(flagged & (decoded.behavior == value).all(axis=1))).sum())
