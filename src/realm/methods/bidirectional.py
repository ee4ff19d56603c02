"""A bidirectional decoder: the teacher's network, trained with the task loss alone.

It sees past and future and is told nothing but the labels: what a decoder of this kind could reach
without self-supervision, if it did not have to be causal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.methods.complexity import Complexity, teacher_complexity
from realm.methods.experiment import Decode, Decoding, Experiment, deployed_parameters
from realm.methods.method import Design, Method, OneOf
from realm.methods.networks import OwnTraining, own_training, sizes, trained_like_student
from realm.nn.encoder import EncoderConfig
from realm.nn.encoders import AnyEncoder
from realm.nn.losses import task_loss
from realm.nn.teacher import Teacher
from realm.progress import Report
from realm.training.augment import augment
from realm.training.build import new_teacher
from realm.training.config import DistillConfig
from realm.training.decode import require_validation_labels, validation_score
from realm.training.latents import encode_session, encode_span
from realm.training.loop import Term, TrainingResult, train

LARGE = OneOf((128, 192)), OneOf((2, 3))  # widths and layers that a tuning draws


class BidirectionalConfig(OwnTraining):
    """The teacher's kind of network, trained like the student with the task loss alone.

    Attributes:
        encoder: its encoder.
    """

    encoder: AnyEncoder = EncoderConfig(layers=2, d_model=128)


class BidirectionalObjective:
    """Task loss where behavior is known."""

    def __init__(
        self,
        teacher: Teacher,
        config: DistillConfig,
        seed: int,
        sessions: Sequence[PreparedSession],
    ) -> None:
        require_validation_labels(sessions)
        self.module, self.config, self.seed, self.sessions = teacher, config, seed, sessions

    def begin(self) -> None:
        """Nothing to do before the first step."""

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """The task loss on one batch."""
        noisy = augment(windows, self.config.augmentation, self.seed, step)
        decoded = self.module.head(self.module.encode(noisy))  # (batch, time, dims)
        return [Term("task", 1.0, *task_loss(decoded, *self.module.targets(windows)))]

    def validate(self) -> dict[str, float]:
        """R² over every session's validation span, decoded by itself."""
        return validation_score(self.sessions, self._decode_validation)

    def _decode_validation(self, session: PreparedSession) -> NDArray[np.float32]:
        latents = encode_span(self.module, session, *session.splits["validation"])
        return to_behavior(self.module, session, latents)


def train_bidirectional(
    teacher: Teacher,
    source: WindowSource,
    sessions: Sequence[PreparedSession],
    config: DistillConfig,
    folder: Path,
    *,
    seed: int,
    fingerprint: str,
    report: Report | None = None,
) -> TrainingResult:
    """Train the network in place; see `realm.training.loop.train` for files and errors.

    `config` is that of the student: of it, augmentation and optimization are used.
    """
    objective = BidirectionalObjective(teacher, config, seed, sessions)
    return train(
        objective, source, config.optimization, folder, fingerprint=fingerprint, report=report
    )


def decode_session(teacher: Teacher, session: PreparedSession) -> NDArray[np.float32]:
    """Decode a whole session, each split by itself: (n_bins, dims) in behavior units."""
    return to_behavior(teacher, session, encode_session(teacher, session))


@torch.no_grad()
def to_behavior(
    teacher: Teacher, session: PreparedSession, latents: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The head's reading of latents (bins, d_model), in behavior units."""
    device = next(teacher.parameters()).device
    normalized = teacher.head(torch.from_numpy(latents).to(device))
    decoded: NDArray[np.float32] = teacher.to_units(normalized, session.session_id).cpu().numpy()
    return decoded


def _train(experiment: Experiment, ours: BidirectionalConfig) -> Decode:
    sessions, name = experiment.sessions, "mamba_bidirectional"
    network = new_teacher(sessions, experiment.label_s, ours.encoder, experiment.seed)
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


def _complexity(design: Design, ours: BidirectionalConfig) -> Complexity:
    network = new_teacher(design.sessions, {}, ours.encoder, 0)
    return teacher_complexity(network, design.widest.session_id)


MAMBA_BIDIRECTIONAL = Method(
    "mamba_bidirectional",
    _train,
    BidirectionalConfig,
    _complexity,
    order=120,
    colour="#7A8B00",
    marker=">",
    space={
        **trained_like_student("baselines.mamba_bidirectional"),
        **sizes("baselines.mamba_bidirectional.encoder", *LARGE),
    },
)
