"""What runs live against the exact decoder: double precision, and the plain numpy definition."""

from __future__ import annotations

from realm.certify.agreement import deviation
from realm.certify.check import Finding, at_most, not_measured
from realm.certify.trial import Trial

SINGLE = 1e-4  # of the behavior's spread: what is stated for float32
STRETCH_S = 20.0


def check_precision(trial: Trial) -> list[Finding]:
    """Decode a stretch live, in float64 and in numpy."""
    x = trial.piece(trial.rng("precision"), STRETCH_S)
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
    if (live.engine, live.signal_engine) != ("numba", "numba"):
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
