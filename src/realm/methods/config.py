"""The baselines of a run and their settings, and what a benchmark adds to a run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from realm.nn.encoder import EncoderConfig
from realm.nn.masking import MaskConfig
from realm.training.config import AugmentationConfig, OptimizationConfig

BaselineName = Literal[
    "ridge",
    "kalman",
    "gru",
    "lstm",
    "transformer_causal",
    "scratch",
    "mamba_bidirectional",
    "teacher_probe",
    "transformer_mae_probe",
]


class RidgeConfig(BaseModel):
    """Wiener filter: how far back its features reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_s: float = Field(0.5, ge=0)


class KalmanConfig(BaseModel):
    """Kalman filter: how far back the map of features to its observation may reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_s: float = Field(0.5, ge=0)


class OwnTraining(BaseModel):
    """What a baseline that is trained like the student may set for itself; None: the student's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float | None = Field(None, gt=0)
    noise: float | None = Field(None, ge=0)
    channel_dropout: float | None = Field(None, ge=0, lt=1)


class RecurrentConfig(OwnTraining):
    """Recurrent network in the place of the student's encoder; trained like the student."""

    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)


class TransformerConfig(OwnTraining):
    """Causal Transformer in the place of the student's encoder; trained like the student."""

    d_model: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    headdim: int = Field(32, ge=2)
    context_s: float = Field(1.0, ge=0)  # attention of every layer reaches back this far


class BidirectionalConfig(OwnTraining):
    """The teacher's kind of network, trained like the student with the task loss alone."""

    encoder: EncoderConfig = EncoderConfig(layers=2, d_model=128)


class LongOptimization(OptimizationConfig):
    """As for all trainings, with defaults for one without labels: more steps, more slowly."""

    steps: int = Field(2000, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    patience: int = Field(6, ge=1)


class TransformerMaeConfig(BaseModel):
    """Masked-autoencoding Transformer over patches of channels; pretrained without labels.

    Its training is its own: nothing of the student's applies to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    d_model: int = Field(128, ge=1)
    layers: int = Field(4, ge=1)
    headdim: int = Field(32, ge=2)
    patch_channels: int = Field(32, ge=1)  # at most as many channels make one token of a bin
    mask: MaskConfig = MaskConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimization: LongOptimization = LongOptimization()


class BaselinesConfig(BaseModel):
    """Which methods run beside the student, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: list[BaselineName] = ["ridge", "gru", "scratch", "teacher_probe"]
    ridge: RidgeConfig = RidgeConfig()
    kalman: KalmanConfig = KalmanConfig()
    gru: RecurrentConfig = RecurrentConfig()
    lstm: RecurrentConfig = RecurrentConfig()
    transformer_causal: TransformerConfig = TransformerConfig()
    scratch: OwnTraining = OwnTraining()
    mamba_bidirectional: BidirectionalConfig = BidirectionalConfig()
    transformer_mae_probe: TransformerMaeConfig = TransformerMaeConfig()


class BenchmarkConfig(BaseModel):
    """What `realm benchmark` does beside the main run.

    Attributes:
        lookahead_ms: future that further students may wait for; 0 is the main run's student.
        label_s: label budgets of a new session, in seconds; all labels come on top.
        training_share: of a subject's sessions, in the order of time, that train the decoders
            which are then carried over to the rest; rounded up.
        spikes: path of the spike counts stored beside the LFP.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lookahead_ms: tuple[PositiveFloat, ...] = (20.0, 50.0, 100.0, 200.0)
    label_s: tuple[PositiveFloat, ...] = (30.0, 120.0)
    training_share: float = Field(2 / 3, gt=0, lt=1)
    spikes: str = "ecephys/threshold_crossings"
