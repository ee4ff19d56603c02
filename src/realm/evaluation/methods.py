"""Every method of a benchmark behind one interface: train once, then decode any session.

A method is a function of the experiment that returns a `Decode`: given a prepared session, the
decoding of its whole stream and what that decoding costs. To add a baseline, write such a
function, name it in `METHODS` and give it its settings in `realm.evaluation.config`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.evaluation.config import BaselinesConfig
from realm.evaluation.kalman import KalmanDecoder
from realm.evaluation.ridge import LinearProbe, RidgeDecoder
from realm.files import sha256_json
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.gru import GRUEncoder
from realm.nn.lstm import LSTMEncoder
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.nn.transformer import CausalTransformerEncoder
from realm.training.bidirectional import decode_session, train_bidirectional
from realm.training.config import DistillConfig
from realm.training.decode import decode_stream
from realm.training.distill import distill, lookahead_bins
from realm.training.latents import encode_session
from realm.training.loop import Report
from realm.training.pretrain import behavior_scales

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


def student_method(experiment: Experiment) -> Decode:
    """The distilled student."""
    return _decode_with(experiment.student, experiment.student_cpu_s, experiment.distill)


def scratch_method(experiment: Experiment) -> Decode:
    """The same student, trained without a teacher."""
    return _trained_student(experiment, "scratch")


def gru_method(experiment: Experiment) -> Decode:
    """A gated recurrent network with the student's adapters, head, windows and optimizer."""
    ours = experiment.baselines.gru
    return _trained_student(
        experiment, "gru", lambda: GRUEncoder(ours.d_model, ours.layers), ours.learning_rate
    )


def lstm_method(experiment: Experiment) -> Decode:
    """A long short-term memory network, likewise."""
    ours = experiment.baselines.lstm
    return _trained_student(
        experiment, "lstm", lambda: LSTMEncoder(ours.d_model, ours.layers), ours.learning_rate
    )


def transformer_causal_method(experiment: Experiment) -> Decode:
    """A Transformer whose attention reaches back a limited time, likewise."""
    ours = experiment.baselines.transformer_causal
    context = max(1, round(ours.context_s * 1000 / experiment.sessions[0].bin_ms))

    def encoder() -> CausalTransformerEncoder:
        return CausalTransformerEncoder(ours.d_model, ours.layers, context, ours.headdim)

    return _trained_student(experiment, "transformer_causal", encoder, ours.learning_rate)


def mamba_bidirectional_method(experiment: Experiment) -> Decode:
    """The teacher's kind of network, trained with the task loss alone; it sees the future."""
    ours = experiment.baselines.mamba_bidirectional
    sessions = experiment.sessions
    network = new_teacher(sessions, experiment.label_s, ours.encoder, experiment.seed)
    name = "mamba_bidirectional"
    result = train_bidirectional(
        network, experiment.source, sessions, _with_rate(experiment.distill, ours.learning_rate),
        experiment.folder / name, seed=experiment.seed,
        fingerprint=experiment.fingerprint_of(name), report=experiment.report,
    )  # fmt: skip

    def decode(session: PreparedSession) -> Decoding:
        begun = time.perf_counter()
        decoded = decode_session(network, session)
        cost = (time.perf_counter() - begun) / max(1, session.n_bins) * 1e6
        parameters = deployed_parameters(network, session.session_id)
        return Decoding(decoded, parameters, result.cpu_s, cost, math.inf)

    return decode


def ridge_method(experiment: Experiment) -> Decode:
    """Wiener filter, fitted to each session's own labels."""
    lag_s = experiment.baselines.ridge.lag_s
    return _fitted_to_session(experiment, lambda bin_ms: RidgeDecoder(bin_ms, lag_s))


def kalman_method(experiment: Experiment) -> Decode:
    """Kalman filter, fitted to each session's own labels."""
    lag_s = experiment.baselines.kalman.lag_s
    return _fitted_to_session(experiment, lambda bin_ms: KalmanDecoder(bin_ms, lag_s))


def teacher_probe_method(experiment: Experiment) -> Decode:
    """Ridge on the frozen latents of the teacher, which sees the future."""

    def decode(session: PreparedSession) -> Decoding:
        begun = time.perf_counter()
        latents = encode_session(experiment.teacher, session)
        cost = (time.perf_counter() - begun) / max(1, session.n_bins) * 1e6
        start = time.process_time()
        probe = LinearProbe()
        _fit(probe, session, latents, experiment.label_s)
        cpu_s = experiment.teacher_cpu_s + time.process_time() - start
        parameters = deployed_parameters(experiment.teacher, session.session_id) + probe.parameters
        return Decoding(probe.predict(latents), parameters, cpu_s, cost, float("inf"))

    return decode


METHODS: dict[str, Callable[[Experiment], Decode]] = {
    "ridge": ridge_method,
    "kalman": kalman_method,
    "gru": gru_method,
    "lstm": lstm_method,
    "transformer_causal": transformer_causal_method,
    "scratch": scratch_method,
    "mamba_bidirectional": mamba_bidirectional_method,
    "teacher_probe": teacher_probe_method,
    "student": student_method,
}


def session_info(session: PreparedSession) -> SessionInfo:
    """What a model must know of a prepared session."""
    names = tuple(session.channel_names)
    return SessionInfo(session.session_id, session.subject, names, len(session.band_names))


def new_teacher(
    sessions: Sequence[PreparedSession],
    label_s: Mapping[str, float],
    config: EncoderConfig,
    seed: int,
) -> Teacher:
    """An untrained teacher of these sessions, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    infos = [session_info(session) for session in sessions]
    teacher = Teacher(config, infos, len(sessions[0].behavior_names))
    for session_id, scale in behavior_scales(sessions, label_s).items():
        teacher.set_behavior_scale(session_id, *scale)
    return teacher


def new_student(
    sessions: Sequence[PreparedSession],
    label_s: Mapping[str, float],
    config: DistillConfig,
    seed: int,
    make_encoder: Callable[[], nn.Module] | None = None,
) -> Student:
    """An untrained student of these sessions, its weights drawn from `seed`.

    `make_encoder` replaces the Mamba-2 encoder by another causal one.
    """
    torch.manual_seed(seed)
    encoder = None if make_encoder is None else make_encoder()
    infos = [session_info(session) for session in sessions]
    student = Student(config.encoder, infos, len(sessions[0].behavior_names), encoder)
    for session_id, scale in behavior_scales(sessions, label_s).items():
        student.set_behavior_scale(session_id, *scale)
    return student


def deployed_parameters(model: Student | Teacher, session_id: str) -> int:
    """Weights that run for one session: its adapter, the encoder and the head."""
    fixed = [*model.encoder.parameters(), *model.head.parameters()]
    adapter = [model.adapters.weight(session_id), model.adapters.bias(session_id)]
    return sum(tensor.numel() for tensor in [*fixed, *adapter])


def _trained_student(
    experiment: Experiment,
    name: str,
    make_encoder: Callable[[], nn.Module] | None = None,
    learning_rate: float | None = None,
) -> Decode:
    """A student trained without a teacher, with its own encoder or another."""
    config = _with_rate(experiment.distill, learning_rate)
    student = new_student(
        experiment.sessions, experiment.label_s, config, experiment.seed, make_encoder
    )
    result = distill(
        student, None, experiment.source, experiment.sessions, config, experiment.folder / name,
        seed=experiment.seed, fingerprint=experiment.fingerprint_of(name),
        report=experiment.report,
    )  # fmt: skip
    return _decode_with(student, result.cpu_s, config)


def _with_rate(config: DistillConfig, learning_rate: float | None) -> DistillConfig:
    if learning_rate is None:
        return config
    optimization = config.optimization.model_copy(update={"learning_rate": learning_rate})
    return config.model_copy(update={"optimization": optimization})


def _decode_with(student: Student, cpu_s: float, config: DistillConfig) -> Decode:
    student.cpu().eval()  # as it is deployed

    def decode(session: PreparedSession) -> Decoding:
        late = lookahead_bins(config.lookahead_ms, session.bin_ms)
        decoded = decode_stream(student, session, lookahead=late)

        def step(features: NDArray[Any], state: Any) -> Any:
            with torch.no_grad():
                return student.step(torch.from_numpy(features)[None], state, session.session_id)

        some = session.features(0, min(session.n_bins, TIMED_BINS))
        cost = _us_per_bin(student.initial_state(1), some, step)
        parameters = deployed_parameters(student, session.session_id)
        return Decoding(decoded, parameters, cpu_s, cost, config.lookahead_ms)

    return decode


def _fitted_to_session(
    experiment: Experiment, make: Callable[[float], RidgeDecoder | KalmanDecoder]
) -> Decode:
    """A decoder that is fitted to every session by itself; `make` is given the bin width."""

    def decode(session: PreparedSession) -> Decoding:
        features = session.features(0, session.n_bins)
        start = time.process_time()
        decoder = make(session.bin_ms)
        _fit(decoder, session, features, experiment.label_s)
        cpu_s = time.process_time() - start
        decoded = decoder.predict(features)
        cost = _us_per_bin(decoder.initial_state(), features, decoder.step)
        return Decoding(decoded, decoder.parameters, cpu_s, cost, decoder.lookahead_ms)

    return decode


def _fit(
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


def _us_per_bin(state: Any, features: NDArray[Any], step: Callable[..., Any]) -> float:
    """Median time of a step of one bin, in microseconds."""
    times = []
    for k in range(min(len(features), TIMED_BINS)):
        begun = time.perf_counter()
        _, state = step(features[k : k + 1], state)
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e6)
