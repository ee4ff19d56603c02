"""Whether what runs live is what was trained, and agrees with its own exact computation."""

from __future__ import annotations

import numpy as np

from realm.certify.check import Finding, Trial, at_most, deviation, not_measured, reading
from realm.streaming.encoders import MAMBA2
from realm.streaming.reference import draw, input_sha256

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
        "single precision that is not enough for these weights",
    )
    has_twin = live.bundle.sizes.kind == MAMBA2  # other encoders have one step, in numpy
    if live.signal_engine != "numba" or (has_twin and live.engine != "numba"):
        text = (
            f"not needed: no compiled code runs here, the student runs with {live.engine}, the "
            f"signal chain with {live.signal_engine}"
        )
        return [single, reading("numba against numpy", float("nan"), "of the spread", text)]
    plain = trial.make("float32", True).forward(x).behavior
    difference = deviation(plain, found)
    return [
        single,
        at_most(
            "numba against numpy",
            difference,
            "of the spread",
            SINGLE,
            f"{stated}, both in float32",
            "compiled code that computes something else",
        ),
    ]


def check_reference(trial: Trial) -> list[Finding]:
    """Decode the signal of the bundle's reference, and compare with what was trained."""
    name, unit = "difference from the trained decoder", "of the spread"
    catches = (
        "other weights or filters than those trained, another scale, delay, order of channels or "
        "of dims, an output that stands still"
    )
    bundle, decoder = trial.decoder.bundle, trial.decoder
    told = bundle.reference
    if told is None:
        why = (
            "the bundle was made by an earlier version and holds no reference outputs; make it "
            "anew with realm bundle"
        )
        return [not_measured(name, unit, SINGLE, why, catches)]
    signal = bundle.chain, told.seconds, told.seed, told.weights
    if input_sha256(*signal) != told.input_sha256:
        why = "the signal of the reference cannot be drawn on this machine; report it"
        return [not_measured(name, unit, SINGLE, why, catches)]
    state, parts = decoder.initial_state(), []
    for block in draw(*signal):
        decoded, state = decoder.step(block, state)
        parts.append(decoded.behavior)
    found = np.concatenate(parts)
    due = trial.clock.outputs(round(told.seconds * trial.rate_hz))
    fits = found.shape == told.outputs.shape and len(found) == due
    return [
        at_most(
            name,
            deviation(told.outputs, found) if fits else float("nan"),
            unit,
            SINGLE,
            f"{told.seconds} s of a stated signal (SHA-256 {told.input_sha256[:12]}), "
            f"{len(found)} outputs, {len(told.outputs)} in the bundle, computed by the side that "
            "trained when the bundle was made; the largest difference",
            catches,
        )
    ]
