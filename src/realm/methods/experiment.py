"""What all methods of one seed share, and what each of them hands back.

A method is a function of an `Experiment` that returns a `Decode`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.files import sha256_json
from realm.methods.config import BaselinesConfig
from realm.methods.kalman import KalmanDecoder
from realm.methods.ridge import RidgeDecoder
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.progress import Report
from realm.training.config import DistillConfig


class Decoding(NamedTuple):
    """One session decoded by one method, and the cost of doing so."""

    behavior: NDArray[Any]  # (n_bins, dims) in behavior units, NaN where there is no output
    parameters: int  # that run at deployment
    train_cpu_s: float
    us_per_bin: float  # median of single-bin steps
    lookahead_ms: float  # inf: needs the whole recording

    @property
    def causal(self) -> bool:
        """Whether it waits for a finite time at most."""
        return math.isfinite(self.lookahead_ms)


Decode = Callable[[PreparedSession], Decoding]


class Experiment(NamedTuple):
    """What all methods of one seed share."""

    sessions: Sequence[PreparedSession]
    source: WindowSource  # training windows, with the label budgets
    label_s: Mapping[str, float]  # seconds of labels of the sessions that have a budget
    teacher: Teacher
    teacher_cpu_s: float
    student: Student
    student_cpu_s: float
    distill: DistillConfig
    baselines: BaselinesConfig
    seed: int
    folder: Path  # each trained method keeps its files in a folder of its own here
    fingerprint: str  # of the sessions, the labels and how a student is trained
    report: Report | None = None

    def fingerprint_of(self, method: str) -> str:
        """What a baseline's training depends on: what all share, and its own settings."""
        settings = getattr(self.baselines, method, None)
        own = None if settings is None else settings.model_dump(mode="json")
        return sha256_json({"shared": self.fingerprint, "method": method, "settings": own})


def deployed_parameters(model: Student | Teacher, session_id: str) -> int:
    """Weights that run for one session: its adapter, the encoder and the head."""
    fixed = [*model.encoder.parameters(), *model.head.parameters()]
    adapter = [model.adapters.weight(session_id), model.adapters.bias(session_id)]
    return sum(tensor.numel() for tensor in [*fixed, *adapter])


def fit_to_labels(
    decoder: RidgeDecoder | KalmanDecoder,
    session: PreparedSession,
    features: NDArray[Any],
    label_s: Mapping[str, float],
) -> None:
    """Fit on labelled training bins; the penalty is chosen on validation time."""
    values, mask = session.behavior(0, session.n_bins)
    start, stop = session.splits["train"]
    mask = mask.copy()
    mask[start:stop] = session.training_labels(label_s.get(session.session_id))
    decoder.fit(features, values, mask, train=(start, stop), valid=session.splits["validation"])
