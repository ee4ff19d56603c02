"""What all methods of one seed share, what each of them hands back, and how it is timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.files import sha256_json
from realm.nn.student import Student
from realm.nn.teacher import AnyTeacher, Teacher, TeacherEnsemble
from realm.progress import Report
from realm.training.config import DistillConfig

TIMED_BINS = 200


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
    teacher: AnyTeacher
    teacher_cpu_s: float
    student: Student
    student_cpu_s: float
    distill: DistillConfig
    baselines: BaseModel  # the part [baselines] of the recipe
    seed: int
    folder: Path  # each trained method keeps its files in a folder of its own here
    fingerprint: str  # of the sessions, the labels and how a student is trained
    report: Report | None = None

    def fingerprint_of(self, method: str) -> str:
        """What a baseline's training depends on: what all share, and its own settings."""
        settings = getattr(self.baselines, method, None)
        own = None if settings is None else settings.model_dump(mode="json")
        return sha256_json({"shared": self.fingerprint, "method": method, "settings": own})


class SessionDecoder(Protocol):
    """A decoder that is fitted to one session: `RidgeDecoder`, `KalmanDecoder` or another."""

    lookahead_ms: float

    @property
    def parameters(self) -> int:
        """Numbers that run at deployment."""

    def fit(
        self,
        features: NDArray[Any],
        behavior: NDArray[Any],
        mask: NDArray[np.bool_],
        *,
        train: tuple[int, int],
        valid: tuple[int, int],
    ) -> Any:
        """Fit on known bins of `train`, choose on those of `valid`; see `RidgeDecoder.fit`."""

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Decode a whole stream (bins, ...) to (bins, dims)."""

    def initial_state(self) -> Any:
        """State before the first bin."""

    def step(self, features: NDArray[Any], state: Any) -> tuple[NDArray[Any], Any]:
        """Decode the next bins, any number of them."""


def fitted_to_session(experiment: Experiment, make: Callable[[float], SessionDecoder]) -> Decode:
    """A decoder that is fitted to every session by itself; `make` is given the bin width."""

    def decode(session: PreparedSession) -> Decoding:
        features = session.features(0, session.n_bins)
        start = time.process_time()
        decoder = make(session.bin_ms)
        fit_to_labels(decoder, session, features, experiment.label_s)
        cpu_s = time.process_time() - start
        decoded = decoder.predict(features)
        cost = us_per_bin(decoder.initial_state(), features, decoder.step)
        return Decoding(decoded, decoder.parameters, cpu_s, cost, decoder.lookahead_ms)

    return decode


def fit_to_labels(
    decoder: SessionDecoder,
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


def us_per_bin(state: Any, features: NDArray[Any], step: Callable[..., Any]) -> float:
    """Median time of a step of one bin, in microseconds."""
    times = []
    for k in range(min(len(features), TIMED_BINS)):
        begun = time.perf_counter()
        _, state = step(features[k : k + 1], state)
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e6)


def deployed_parameters(model: Student | AnyTeacher, session_id: str) -> int:
    """Weights that run for one session: its adapter, the encoder and the head."""
    if isinstance(model, TeacherEnsemble):
        members = [member for member in model.members if isinstance(member, Teacher)]
        return sum(deployed_parameters(member, session_id) for member in members)
    fixed = [*model.encoder.parameters(), *model.head.parameters()]
    adapter = [model.adapters.weight(session_id), model.adapters.bias(session_id)]
    return sum(tensor.numel() for tensor in [*fixed, *adapter])
