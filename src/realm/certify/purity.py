"""Whether a step leaves alone what it is given, and remembers nothing outside its state."""

from __future__ import annotations

from realm.certify.check import Finding, Trial, at_most
from realm.certify.exactness import equal, random_sizes
from realm.certify.faults import disturbed
from realm.streaming.state import to_bytes

STRETCH_S = 1.0
NO_BUNDLE = "0" * 64


def check_purity(trial: Trial) -> list[Finding]:
    """Compare the bytes of state and samples before and after every step, and take it twice."""
    rng, decoder = trial.rng("purity"), trial.decoder
    state_changed = samples_changed = other = steps = 0
    for number in trial.counted(max(5, trial.effort.trials // 5)):
        x = trial.piece(rng, STRETCH_S).copy()
        x = disturbed(x, trial.rate_hz, trial.usable, rng) if number % 2 else x
        state, at = decoder.initial_state(), 0
        for size in random_sizes(len(x), rng, smallest=20):
            chunk = x[at : at + size].copy()
            before, given = to_bytes(state, NO_BUNDLE), chunk.tobytes()
            decoded, after = decoder.step(chunk, state)
            left = to_bytes(after, NO_BUNDLE)
            again, after_again = decoder.step(chunk, state)
            state_changed += to_bytes(state, NO_BUNDLE) != before
            samples_changed += chunk.tobytes() != given
            other += not equal(decoded, again) or to_bytes(after_again, NO_BUNDLE) != left
            state, at, steps = after, at + size, steps + 1
    text = f"{steps} steps, each taken twice from the same state; all bytes compared"
    return [
        at_most(
            "steps that changed the state passed in",
            state_changed,
            "steps",
            0,
            text,
            "a state that is written over: a saved stream would resume somewhere else",
        ),
        at_most(
            "steps that changed the samples",
            samples_changed,
            "steps",
            0,
            text,
            "samples that are written over before others read them",
        ),
        at_most(
            "steps that gave another result the second time",
            other,
            "steps",
            0,
            text,
            "memory outside the state, random numbers, results that are written over",
        ),
    ]
