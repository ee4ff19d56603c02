"""Faults of a signal, and what the decoder gives during and after them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import Finding, Trial, at_least, at_most, back_after_s, r2, reading
from realm.streaming import Decoded

Samples = NDArray[np.float64]
Channels = NDArray[np.int64]
Harm = Callable[[Samples], None]  # changes the samples that it is given, (samples, channels)


class Fault(NamedTuple):
    """One kind of fault: how long it lasts, on which share of the channels, and what it does."""

    name: str
    lasts_s: float  # 0: one sample
    share: float  # of the channels; 0: one channel
    harm: Harm


def _value(value: float) -> Harm:
    def harm(samples: Samples) -> None:
        samples[:] = value

    return harm


def _flat(samples: Samples) -> None:
    samples[:] = samples[0]


def _microvolts(samples: Samples) -> None:
    with np.errstate(over="ignore"):
        samples *= 1e6


def _swapped(samples: Samples) -> None:
    samples[1::2] = np.inf
    samples[::2] = -np.inf


FAULTS = (
    Fault("one NaN", 0, 0, _value(np.nan)),
    Fault("NaN on all channels, one sample", 0, 1, _value(np.nan)),
    Fault("one infinity", 0, 0, _value(np.inf)),
    Fault("infinities of both signs, 100 ms", 0.1, 0.25, _swapped),
    Fault("one spike of a volt", 0, 0, _value(1.0)),
    Fault("a spike of a volt on all channels", 0, 1, _value(1.0)),
    Fault("the largest number there is", 0, 0, _value(np.finfo(np.float64).max)),
    Fault("flat for 1 s, a tenth of the channels", 1.0, 0.1, _flat),
    Fault("saturated for 500 ms, a tenth of the channels", 0.5, 0.1, _value(5e-3)),
    Fault("microvolts as volts for 500 ms, all channels", 0.5, 1, _microvolts),
    Fault("gap of 500 ms", 0.5, 1, _value(np.nan)),
)


def harmed(
    samples: Samples,
    fault: Fault,
    at: int,
    rate_hz: float,
    usable: Channels,
    rng: np.random.Generator,
) -> tuple[Samples, int]:
    """A copy with the fault from sample `at` on, on random usable channels; the sample after it.

    A fault of all channels is also one of those that were dead before.
    """
    channels = np.arange(samples.shape[1])
    if fault.share < 1 and len(usable):
        count = max(1, int(fault.share * len(usable)))
        channels = rng.choice(usable, count, replace=False)
    stop = at + max(1, round(fault.lasts_s * rate_hz))
    changed = samples.copy()
    part = changed[at:stop, channels]
    fault.harm(part)
    changed[at:stop, channels] = part
    return changed, stop


def disturbed(
    samples: Samples, rate_hz: float, usable: Channels, rng: np.random.Generator
) -> Samples:
    """A copy with a few faults of any kind at random places."""
    for _ in range(int(rng.integers(1, 5))):
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        samples, _ = harmed(samples, fault, int(rng.integers(len(samples))), rate_hz, usable, rng)
    return samples


BEFORE_S, ALLOWED_S, AFTER_S = 4.0, 1.0, 6.0
SHARE = 0.05  # of the clean stream's spread
SMALLEST_R2 = 1 - SHARE

Pair = tuple[NDArray[np.float64], NDArray[np.float64], int]  # clean, harmed, first bin after it


def check_recovery(trial: Trial) -> list[Finding]:
    """Compare a stream with each fault at random places to the same stream without it."""
    rng, findings, odd, outputs = trial.rng("recovery"), [], 0, 0
    for number in trial.counted(len(FAULTS)):
        pairs = [_pair(trial, FAULTS[number], rng) for _ in range(trial.effort.placements)]
        odd += sum(int((~np.isfinite(found)).sum()) for _, found, _ in pairs)
        outputs += sum(found.size for _, found, _ in pairs)
        findings += _judged(trial, FAULTS[number], pairs)
    detail = f"{outputs} numbers under {len(FAULTS)} kinds of faults"
    catches = "NaN or infinity that reaches an effector"
    return [at_most("outputs that are not finite", odd, "numbers", 0, detail, catches), *findings]


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
            f"output compared with that of the clean stream, from {ALLOWED_S:g} s after the fault "
            f"on; random places: {n}",
            "a filter or student that keeps a trace of this fault",
        ),
        reading(
            f"back after {fault.name}",
            max(times, key=lambda t: np.inf if np.isnan(t) else t),
            "s",
            f"until it stays within {100 * SHARE:g}% of the clean stream's spread, slowest place",
        ),
    ]


def check_quorum(trial: Trial) -> list[Finding]:
    """With one lost channel too many the output is neutral; with one less it is decoded."""
    decoder, bundle = trial.decoder, trial.decoder.bundle
    alive = trial.usable
    if bundle.quorum == 0 or not len(alive):
        text = "this bundle declares no quorum: it decodes with any number of good channels"
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
            f"with {most + 1} of {len(alive)} channels lost, every output is the neutral value and "
            f"flagged; with {most} lost, none is (quorum {100 * bundle.quorum:g}%)",
            "movement decoded from too few channels, or none where there are enough",
        )
    ]


def _not_as_declared(decoded: Decoded, neutral: tuple[float, ...], below: bool) -> int:
    flagged = decoded.quality.neutral
    if not below:
        return int(flagged.sum())
    value = np.asarray(neutral, decoded.behavior.dtype)
    return int((~(flagged & (decoded.behavior == value).all(axis=1))).sum())


SHARES = (0.1, 0.25, 0.5)
SETTLED_S = 3.0  # filters are at rest and dead channels masked
DEAD_STRETCH_S = 15.0


def read_dead_channels(trial: Trial) -> list[Finding]:
    """Compare with the undisturbed output; random channels are flat from the start."""
    rng, decoder, draws = trial.rng("dead channels"), trial.decoder, trial.effort.draws
    usable = trial.usable
    settled = decoder.n_outputs(round(SETTLED_S * trial.rate_hz))
    kept: dict[float, list[float]] = {share: [] for share in SHARES}
    for _ in trial.counted(draws):
        x = trial.piece(rng, DEAD_STRETCH_S)
        whole = decoder.forward(x).behavior[settled:]
        for share in SHARES:
            hurt = x.copy()
            hurt[:, dying(usable, share, rng)] = 0.0
            kept[share].append(r2(whole, decoder.forward(hurt).behavior[settled:]))
    return [
        reading(
            f"output with {100 * share:g}% of the channels dead",
            float(np.median(kept[share])),
            "R²",
            f"{count(usable, share)} of {len(usable)} usable channels; agreement with the output "
            f"of all channels, median of {draws} draws",
        )
        for share in SHARES
    ]


def count(usable: Channels, share: float) -> int:
    """How many channels die: at least one, if there is one."""
    return min(len(usable), max(1, int(share * len(usable))))


def dying(usable: Channels, share: float, rng: np.random.Generator) -> Channels:
    """Which channels die."""
    return rng.choice(usable, count(usable, share), replace=False)
