"""The baselines of a run and their settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from realm.nn.encoder import EncoderConfig

BaselineName = Literal[
    "ridge",
    "kalman",
    "gru",
    "lstm",
    "transformer_causal",
    "scratch",
    "mamba_bidirectional",
    "teacher_probe",
]


class RidgeConfig(BaseModel):
    """Wiener filter: how far back its features reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_s: float = Field(0.5, ge=0)


class KalmanConfig(BaseModel):
    """Kalman filter: how far back the map of features to its observation may reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_s: float = Field(0.5, ge=0)


class RecurrentConfig(BaseModel):
    """Recurrent network in the place of the student's encoder; trained like the student."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)
    learning_rate: float | None = Field(None, gt=0)  # None: the student's


class TransformerConfig(BaseModel):
    """Causal Transformer in the place of the student's encoder; trained like the student."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    d_model: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    headdim: int = Field(32, ge=2)
    context_s: float = Field(1.0, ge=0)  # attention of every layer reaches back this far
    learning_rate: float | None = Field(None, gt=0)


class BidirectionalConfig(BaseModel):
    """The teacher's kind of network, trained like the student with the task loss alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: EncoderConfig = EncoderConfig(layers=2, d_model=128)
    learning_rate: float | None = Field(None, gt=0)


class BaselinesConfig(BaseModel):
    """Which methods run beside the student, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: list[BaselineName] = ["ridge", "gru", "scratch", "teacher_probe"]
    ridge: RidgeConfig = RidgeConfig()
    kalman: KalmanConfig = KalmanConfig()
    gru: RecurrentConfig = RecurrentConfig()
    lstm: RecurrentConfig = RecurrentConfig()
    transformer_causal: TransformerConfig = TransformerConfig()
    mamba_bidirectional: BidirectionalConfig = BidirectionalConfig()
