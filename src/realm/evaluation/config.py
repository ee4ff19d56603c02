"""The baselines of a run and their settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

BaselineName = Literal["ridge", "gru", "scratch", "teacher_probe"]


class RidgeConfig(BaseModel):
    """Wiener filter: how far back its features reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_s: float = Field(0.5, ge=0)


class GRUConfig(BaseModel):
    """Gated recurrent network in the place of the student's encoder; trained like the student."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)
    learning_rate: float | None = None  # None: the student's


class BaselinesConfig(BaseModel):
    """Which methods run beside the student, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: list[BaselineName] = ["ridge", "gru", "scratch", "teacher_probe"]
    ridge: RidgeConfig = RidgeConfig()
    gru: GRUConfig = GRUConfig()
