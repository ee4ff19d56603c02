"""Every method of a benchmark behind one interface: train once, then decode any session.

A method is a function of the experiment that returns a `Decode`: given a prepared session, the
decoding of its whole stream and what that decoding costs. To add a baseline, write such a
function, name it in `METHODS` and give it its settings in `realm.methods.config`. The probes of
self-supervised networks are in `realm.methods.probes`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from realm.data.sessions import PreparedSession
from realm.methods.bidirectional import decode_session, train_bidirectional
from realm.methods.config import OwnTraining
from realm.methods.experiment import (
    Decode,
    Decoding,
    Experiment,
    deployed_parameters,
    fit_to_labels,
)
from realm.methods.kalman import KalmanDecoder
from realm.methods.probes import teacher_probe_method, transformer_mae_probe_method
from realm.methods.ridge import RidgeDecoder
from realm.nn.gru import GRUEncoder
from realm.nn.lstm import LSTMEncoder
from realm.nn.student import Student
from realm.nn.transformer import CausalTransformerEncoder
from realm.signal.binning import lookahead_bins
from realm.training.build import new_student, new_teacher
from realm.training.config import DistillConfig
from realm.training.decode import decode_stream
from realm.training.distill import distill

__all__ = ["METHODS", "Decode", "Decoding", "Experiment"]

TIMED_BINS = 200


def student_method(experiment: Experiment) -> Decode:
    """The distilled student."""
    return StudentDecoder(experiment.student, experiment.student_cpu_s, experiment.distill)


def scratch_method(experiment: Experiment) -> Decode:
    """The same student, trained without a teacher."""
    return _trained_student(experiment, "scratch", experiment.baselines.scratch)


def gru_method(experiment: Experiment) -> Decode:
    """A gated recurrent network with the student's adapters, head, windows and optimizer."""
    ours = experiment.baselines.gru
    return _trained_student(experiment, "gru", ours, lambda: GRUEncoder(ours.d_model, ours.layers))


def lstm_method(experiment: Experiment) -> Decode:
    """A long short-term memory network, likewise."""
    ours = experiment.baselines.lstm
    return _trained_student(
        experiment, "lstm", ours, lambda: LSTMEncoder(ours.d_model, ours.layers)
    )


def transformer_causal_method(experiment: Experiment) -> Decode:
    """A Transformer whose attention reaches back a limited time, likewise."""
    ours = experiment.baselines.transformer_causal
    context = max(1, round(ours.context_s * 1000 / experiment.sessions[0].bin_ms))

    def encoder() -> CausalTransformerEncoder:
        return CausalTransformerEncoder(ours.d_model, ours.layers, context, ours.headdim)

    return _trained_student(experiment, "transformer_causal", ours, encoder)


def mamba_bidirectional_method(experiment: Experiment) -> Decode:
    """The teacher's kind of network, trained with the task loss alone; it sees the future."""
    ours = experiment.baselines.mamba_bidirectional
    sessions = experiment.sessions
    network = new_teacher(sessions, experiment.label_s, ours.encoder, experiment.seed)
    name = "mamba_bidirectional"
    result = train_bidirectional(
        network,
        experiment.source,
        sessions,
        own_training(experiment.distill, ours),
        experiment.folder / name,
        seed=experiment.seed,
        fingerprint=experiment.fingerprint_of(name),
        report=experiment.report,
    )

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


METHODS: dict[str, Callable[[Experiment], Decode]] = {
    "ridge": ridge_method,
    "kalman": kalman_method,
    "gru": gru_method,
    "lstm": lstm_method,
    "transformer_causal": transformer_causal_method,
    "scratch": scratch_method,
    "mamba_bidirectional": mamba_bidirectional_method,
    "teacher_probe": teacher_probe_method,
    "transformer_mae_probe": transformer_mae_probe_method,
    "student": student_method,
}


def _trained_student(
    experiment: Experiment,
    name: str,
    ours: OwnTraining,
    make_encoder: Callable[[], nn.Module] | None = None,
) -> Decode:
    """A student trained without a teacher, with its own encoder or another."""
    config = own_training(experiment.distill, ours)
    student = new_student(
        experiment.sessions, experiment.label_s, config, experiment.seed, make_encoder
    )
    result = distill(
        student,
        None,
        experiment.source,
        experiment.sessions,
        config,
        experiment.folder / name,
        seed=experiment.seed,
        fingerprint=experiment.fingerprint_of(name),
        report=experiment.report,
    )
    return StudentDecoder(student, result.cpu_s, config)


def own_training(config: DistillConfig, ours: OwnTraining) -> DistillConfig:
    """The student's training with what a baseline sets for itself."""
    said = {name: getattr(ours, name) for name in OwnTraining.model_fields}
    said = {name: value for name, value in said.items() if value is not None}
    rate = {name: said.pop(name) for name in ("learning_rate",) if name in said}
    optimization = config.optimization.model_copy(update=rate)
    augmentation = config.augmentation.model_copy(update=said)
    update = {"optimization": optimization, "augmentation": augmentation}
    return config.model_copy(update=update)


@dataclass(frozen=True, eq=False)
class StudentDecoder:
    """A trained student, or a network in its place, as a `Decode`; it can be calibrated."""

    student: Student
    train_cpu_s: float
    config: DistillConfig  # it was trained with

    def __call__(self, session: PreparedSession) -> Decoding:
        """Decode the session as one stream and time single bins."""
        student = self.student.cpu().eval()  # as it is deployed
        late = lookahead_bins(self.config.lookahead_ms, session.bin_ms)
        decoded = decode_stream(student, session, lookahead=late)

        def step(features: NDArray[Any], state: Any) -> Any:
            with torch.no_grad():
                return student.step(torch.from_numpy(features)[None], state, session.session_id)

        some = session.features(0, min(session.n_bins, TIMED_BINS))
        cost = _us_per_bin(student.initial_state(1), some, step)
        parameters = deployed_parameters(student, session.session_id)
        return Decoding(decoded, parameters, self.train_cpu_s, cost, self.config.lookahead_ms)


def _fitted_to_session(
    experiment: Experiment, make: Callable[[float], RidgeDecoder | KalmanDecoder]
) -> Decode:
    """A decoder that is fitted to every session by itself; `make` is given the bin width."""

    def decode(session: PreparedSession) -> Decoding:
        features = session.features(0, session.n_bins)
        start = time.process_time()
        decoder = make(session.bin_ms)
        fit_to_labels(decoder, session, features, experiment.label_s)
        cpu_s = time.process_time() - start
        decoded = decoder.predict(features)
        cost = _us_per_bin(decoder.initial_state(), features, decoder.step)
        return Decoding(decoded, decoder.parameters, cpu_s, cost, decoder.lookahead_ms)

    return decode


def _us_per_bin(state: Any, features: NDArray[Any], step: Callable[..., Any]) -> float:
    """Median time of a step of one bin, in microseconds."""
    times = []
    for k in range(min(len(features), TIMED_BINS)):
        begun = time.perf_counter()
        _, state = step(features[k : k + 1], state)
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e6)
