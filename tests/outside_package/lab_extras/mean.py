"""A baseline that always answers with the mean of the labels."""

import numpy as np
from pydantic import BaseModel

from realm.methods.complexity import Complexity
from realm.methods.experiment import Decoding
from realm.methods.method import Method


class MeanSettings(BaseModel, extra="forbid", frozen=True):
    factor: float = 1.0


def train(experiment, settings):
    def decode(session):
        start, stop = session.splits["train"]
        values, known = session.behavior(start, stop)
        mean = settings.factor * values[known].mean(axis=0)
        behavior = np.tile(mean, (session.n_bins, 1))
        return Decoding(
            behavior, parameters=mean.size, train_cpu_s=0.0, us_per_bin=0.1, lookahead_ms=0.0
        )

    return decode


MEAN = Method(
    "mean",
    train,
    MeanSettings,
    complexity=lambda design, settings: Complexity(design.dims, 0),
    colour="#777777",
)
