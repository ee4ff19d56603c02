"""The student and the networks in its place: trained alike, with another encoder each.

`scratch` is the student without a teacher. `gru`, `lstm` and `transformer_causal` put another
causal encoder between its adapters and its head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import Field

from realm.data.sessions import PreparedSession
from realm.methods.complexity import Complexity, student_complexity
from realm.methods.experiment import (
    TIMED_BINS,
    Decode,
    Decoding,
    Experiment,
    deployed_parameters,
    us_per_bin,
)
from realm.methods.method import Design, LogUniform, Method, OneOf, Space
from realm.nn.encoders import EncoderSettings
from realm.nn.recurrent import GRUSettings, LSTMSettings
from realm.nn.student import Student
from realm.nn.transformer import TransformerSettings
from realm.signal.binning import lookahead_bins
from realm.training.build import new_student
from realm.training.config import DistillConfig, Strict
from realm.training.decode import decode_stream
from realm.training.distill import distill

# What a tuning draws, for whatever is trained by steps.
RATE = LogUniform(5e-4, 1e-2)
NOISE, DROPOUT = OneOf((0.0, 0.1, 0.2, 0.3, 0.5, 0.8)), OneOf((0.0, 0.1, 0.2, 0.3))
WIDTH, LAYERS = OneOf((64, 96, 128)), OneOf((1, 2))


class OwnTraining(Strict):
    """What a baseline that is trained like the student may set for itself.

    Attributes:
        learning_rate: its highest learning rate; not set: the student's.
        noise: its noise on the features; not set: the student's.
        channel_dropout: its share of channels set to zero; not set: the student's.
    """

    learning_rate: float | None = Field(None, gt=0)
    noise: float | None = Field(None, ge=0)
    channel_dropout: float | None = Field(None, ge=0, lt=1)


class RecurrentConfig(OwnTraining):
    """Recurrent network in the place of the student's encoder; trained like the student.

    Attributes:
        d_model: width of the latents.
        layers: number of recurrent layers.
    """

    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)


class TransformerConfig(OwnTraining):
    """Causal Transformer in the place of the student's encoder; trained like the student.

    Attributes:
        d_model: width of the latents.
        layers: number of layers.
        headdim: width of an attention head; divides `d_model`.
        context_s: how far back the attention of every layer reaches, in seconds.
    """

    d_model: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    headdim: int = Field(32, ge=2)
    context_s: float = Field(1.0, ge=0)


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
        cost = us_per_bin(student.initial_state(1), some, step)
        parameters = deployed_parameters(student, session.session_id)
        return Decoding(decoded, parameters, self.train_cpu_s, cost, self.config.lookahead_ms)


def own_training(config: DistillConfig, ours: OwnTraining) -> DistillConfig:
    """The student's training with what a baseline sets for itself."""
    said = {name: getattr(ours, name) for name in OwnTraining.model_fields}
    said = {name: value for name, value in said.items() if value is not None}
    rate = {name: said.pop(name) for name in ("learning_rate",) if name in said}
    optimization = config.optimization.model_copy(update=rate)
    augmentation = config.augmentation.model_copy(update=said)
    update = {"optimization": optimization, "augmentation": augmentation, "task_weight": 1.0}
    return config.model_copy(update=update)  # there is no teacher, so labels teach


def trained_like_student(section: str) -> Space:
    """What may be tuned of a baseline that is trained like the student."""
    return {
        f"{section}.learning_rate": RATE,
        f"{section}.noise": NOISE,
        f"{section}.channel_dropout": DROPOUT,
    }


def trained_by_itself(section: str) -> Space:
    """What may be tuned of a training with a section of its own in the recipe."""
    return {
        f"{section}.optimization.learning_rate": RATE,
        f"{section}.augmentation.noise": NOISE,
        f"{section}.augmentation.channel_dropout": DROPOUT,
    }


def sizes(section: str, width: OneOf = WIDTH, layers: OneOf = LAYERS) -> Space:
    """Width and depth of a network as what may be tuned."""
    return {f"{section}.d_model": width, f"{section}.layers": layers}


# From a baseline's settings and the bins of some seconds to its encoder's; None: the student's.
Encoder = Callable[[Any, Callable[[float], int]], EncoderSettings | None]


def with_encoder(config: DistillConfig, settings: EncoderSettings | None) -> DistillConfig:
    """The student's training with another encoder, where there is one; AdamW trains it."""
    if settings is None:
        return config
    optimization = config.optimization.model_copy(update={"muon_learning_rate": None})
    return config.model_copy(update={"encoder": settings, "optimization": optimization})


def in_place_of_student(
    name: str, settings: type[OwnTraining], encoder: Encoder, space: Space, **looks: Any
) -> Method:
    """A method that trains a network like the student, without a teacher."""

    def train(experiment: Experiment, ours: OwnTraining) -> Decode:
        bin_ms = experiment.sessions[0].bin_ms

        def bins(seconds: float) -> int:
            return max(1, round(seconds * 1000 / bin_ms))

        config = with_encoder(own_training(experiment.distill, ours), encoder(ours, bins))
        student = new_student(experiment.sessions, experiment.label_s, config, experiment.seed)
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

    def complexity(design: Design, ours: OwnTraining) -> Complexity:
        config = with_encoder(design.distill, encoder(ours, design.bins))
        student = new_student(design.sessions, {}, config, 0)
        return student_complexity(student, design.widest.session_id)

    return Method(name, train, settings, complexity, space=space, **looks)


def _student(experiment: Experiment, settings: None) -> Decode:
    return StudentDecoder(experiment.student, experiment.student_cpu_s, experiment.distill)


def _student_complexity(design: Design, settings: None) -> Complexity:
    student = new_student(design.sessions, {}, design.distill, 0)
    return student_complexity(student, design.widest.session_id)


GRU = in_place_of_student(
    "gru",
    RecurrentConfig,
    lambda ours, bins: GRUSettings(d_model=ours.d_model, layers=ours.layers),
    {**trained_like_student("baselines.gru"), **sizes("baselines.gru")},
    order=30,
    colour="#009E73",
    marker="^",
)
LSTM = in_place_of_student(
    "lstm",
    RecurrentConfig,
    lambda ours, bins: LSTMSettings(d_model=ours.d_model, layers=ours.layers),
    {**trained_like_student("baselines.lstm"), **sizes("baselines.lstm")},
    order=40,
    colour="#8C6BB1",
    marker="<",
)
TRANSFORMER_CAUSAL = in_place_of_student(
    "transformer_causal",
    TransformerConfig,
    lambda ours, bins: TransformerSettings(
        d_model=ours.d_model,
        layers=ours.layers,
        headdim=ours.headdim,
        context_bins=bins(ours.context_s),
    ),
    {
        **trained_like_student("baselines.transformer_causal"),
        **sizes("baselines.transformer_causal"),
        "baselines.transformer_causal.context_s": OneOf((0.5, 1.0, 2.0)),
    },
    order=50,
    colour="#CC79A7",
    marker="X",
)
SCRATCH = in_place_of_student(
    "scratch",
    OwnTraining,
    lambda ours, bins: None,
    trained_like_student("baselines.scratch"),  # its network is the student's
    order=60,
    colour="#E69F00",
    marker="D",
)
STUDENT = Method(
    "student",
    _student,
    complexity=_student_complexity,
    order=80,
    colour="#D55E00",
    marker="o",
    space={**trained_by_itself("distill"), **sizes("distill.encoder", OneOf((64, 96)))},
    recipe_parts=("pretrain", "distill"),
    needs_teacher=True,
)
