"""What a recipe may say about training; every key is checked, an unknown one is an error."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from realm.nn.encoders import AnyEncoder
from realm.nn.losses import AlignmentKind
from realm.nn.masking import MaskConfig


class Strict(BaseModel):
    """Base of the sections of a recipe: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizationConfig(Strict):
    """The optimizer and when to stop; shared by all trained methods.

    `steps` is the most there will be; training ends earlier when `patience` validations in a row
    (one every `validate_every` steps) bring no improvement, and the best weights are kept.
    """

    steps: int = Field(1000, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    warmup_steps: int = Field(50, ge=0)
    final_learning_rate: float = Field(0.05, ge=0, le=1)  # as a share of learning_rate
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    validate_every: int = Field(100, ge=1)
    patience: int = Field(5, ge=1)
    checkpoint_every: int = Field(100, ge=1)


class AugmentationConfig(Strict):
    """Noise on the normalized features and whole channels set to zero, training time only."""

    noise: float = Field(0.0, ge=0)  # standard deviation, in units of the normalized features
    channel_dropout: float = Field(0.0, ge=0, lt=1)  # share of channels hidden in a window


class PretrainConfig(Strict):
    """The bidirectional teacher: a masked autoencoder, with the task loss mixed in if wanted."""

    encoder: AnyEncoder
    mask: MaskConfig = MaskConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    # Errors are whitened over channels and bands, regularized by this much of a feature's variance;
    # None: the plain squared error. See `realm.nn.whitening`.
    whitening: float | None = Field(None, gt=0)
    task_weight: float = Field(0.0, ge=0)


class AlignmentConfig(Strict):
    """How the student's latents are held to the teacher's; without weight, training from scratch.

    Where behavior is known the labels teach, and the teacher may say less than elsewhere.
    """

    kind: AlignmentKind = "mse"
    weight: float = Field(1.0, ge=0)
    weight_unlabelled: float | None = Field(None, ge=0)  # in bins without label; None: `weight`

    @property
    def weights(self) -> tuple[float, float]:
        """The weight of a bin without and of a bin with a label."""
        unlabelled = self.weight if self.weight_unlabelled is None else self.weight_unlabelled
        return unlabelled, self.weight


class DistillConfig(Strict):
    """The causal student: task loss plus alignment to the teacher's latents.

    With `task_weight` 0 no behavior is read: the student learns from the teacher alone, and its
    validation is the alignment on validation time. A readout is fitted to it afterwards.
    """

    encoder: AnyEncoder
    task_weight: float = Field(1.0, ge=0, le=1)
    reconstruction_weight: float = Field(0.0, ge=0)  # of the features, from the student's latents
    start: Literal["fresh", "teacher"] = "fresh"  # the adapters begin at random or as the teacher's
    alignment: AlignmentConfig = AlignmentConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    lookahead_ms: float = Field(0.0, ge=0)  # future the output may wait for, whole bins
    refit_readout: bool = True  # solve the head once more on the continuous training stream


class CalibrateConfig(Strict):
    """Adapting a trained student to a session it has not seen."""

    train: Literal["adapter_and_head", "everything"] = "adapter_and_head"
    optimization: OptimizationConfig = OptimizationConfig.model_validate(
        {"steps": 300, "learning_rate": 2e-3, "validate_every": 25, "patience": 6}
    )
