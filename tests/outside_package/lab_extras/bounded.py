"""A check of the certificate: no output is larger than a hand can be fast."""

import numpy as np

from realm.certify.check import Part, at_most


def check(trial):
    decoder = trial.make("float32", False)
    decoded, _ = decoder.step(trial.signal.samples[:5000], decoder.initial_state())
    fastest = float(np.abs(decoded.behavior).max())
    return [
        at_most("largest output", fastest, decoder.bundle.behavior_unit, 50.0, "of ten seconds")
    ]


BOUNDED = Part("Bounded", "Can a hand move like this?", check)
