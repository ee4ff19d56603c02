"""An encoder, leaky integration of a projection: the half for the rig, in numpy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from realm.streaming.encoders import Encoder
from realm.streaming.weights import Sizes


@dataclass(frozen=True)
class LeakySizes(Sizes):
    kind: ClassVar[str] = "leaky"

    d_model: int
    keep: float

    def shapes(self):
        return {**self.ends(self.d_model), "mix.weight": (self.d_model, self.d_model)}


class LeakyStep:
    def __init__(self, arrays, sizes):
        self.arrays, self.sizes = arrays, sizes

    def initial_state(self):
        return np.zeros(self.sizes.d_model, self.arrays["mix.weight"].dtype)

    def step(self, features, state):
        a, keep = self.arrays, self.sizes.keep
        x = a["adapter.weight"] @ features + a["adapter.bias"]
        state = (keep * state + a["mix.weight"] @ x).astype(state.dtype)
        normalized = a["head.weight"] @ state + a["head.bias"]
        return normalized * a["scale.std"] + a["scale.mean"], state


LEAKY = Encoder("lab_extras.leaky:LEAKY", LeakySizes, LeakyStep)
