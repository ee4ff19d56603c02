"""What a recipe may say about training; every key is checked, an unknown one is an error."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    field_validator,
    model_serializer,
)

from realm.nn.encoders import AnyEncoder
from realm.nn.losses import AlignmentKind, find_loss
from realm.nn.masking import MaskConfig


class Strict(BaseModel):
    """Base of the sections of a recipe: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizationConfig(Strict):
    """The optimizer and when to stop; shared by all trained methods.

    The best weights on validation time are kept.

    Attributes:
        steps: the most training steps; training ends earlier when it no longer improves.
        batch_size: windows per step, over all processes together.
        learning_rate: the highest learning rate of AdamW.
        muon_learning_rate: the highest learning rate of Muon, on the matrices between the layers
            of the encoder; not set: AdamW trains these as well.
        warmup_steps: steps over which the learning rate rises to it.
        final_learning_rate: learning rate at the end of the cosine, as a share of the highest.
        weight_decay: of the matrices; vectors do not decay.
        gradient_clip: largest norm of a gradient.
        validate_every: steps between two validations.
        patience: training ends after this many validations in a row without improvement.
        checkpoint_every: steps between two checkpoints, from which a stopped training resumes.
    """

    steps: int = Field(1000, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    muon_learning_rate: float | None = Field(None, gt=0)
    warmup_steps: int = Field(50, ge=0)
    final_learning_rate: float = Field(0.05, ge=0, le=1)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    validate_every: int = Field(100, ge=1)
    patience: int = Field(5, ge=1)
    checkpoint_every: int = Field(100, ge=1)


class AugmentationConfig(Strict):
    """Noise, gains and missing channels on the normalized features, training time only.

    Attributes:
        noise: standard deviation of the noise, in units of the normalized features.
        channel_dropout: share of the channels that is set to zero in a window.
        gain: spread of the gains of a window, one for each channel and band: the standard
            deviation of their natural logarithm.
    """

    noise: float = Field(0.0, ge=0)
    channel_dropout: float = Field(0.0, ge=0, lt=1)
    gain: float = Field(0.0, ge=0)


class WithLosses(Strict):
    """A training to which a recipe can add losses by name.

    Attributes:
        losses: further losses by name, and their weights; none by default.
    """

    losses: dict[str, NonNegativeFloat] = Field({})

    @field_validator("losses")
    @classmethod
    def _known(cls, losses: dict[str, float]) -> dict[str, float]:
        for name in losses:
            find_loss(name)
        return losses

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: Any) -> dict[str, Any]:
        """Recipes and fingerprints without further losses stay what they were before these."""
        content: dict[str, Any] = handler(self)
        if not content.get("losses"):
            content.pop("losses", None)
        return content


class PretrainConfig(WithLosses):
    """The bidirectional teacher: a masked autoencoder, with the task loss mixed in if wanted.

    Attributes:
        teachers: how many teachers are trained, each from a seed of its own; the student learns
            from all of them.
        encoder: the teacher's encoder.
        whitening: errors are whitened over channels and bands, regularized by this share of a
            feature's variance (see `realm.nn.whitening`); not set: the plain squared error.
        task_weight: weight of the task loss beside reconstruction; 0 never shows it the task.
    """

    teachers: int = Field(1, ge=1)
    encoder: AnyEncoder
    mask: MaskConfig = MaskConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    whitening: float | None = Field(None, gt=0)
    task_weight: float = Field(0.0, ge=0)


class AlignmentConfig(Strict):
    """How the student's latents are held to the teacher's; without weight, training from scratch.

    Where behavior is known the labels teach, and the teacher may say less than elsewhere.

    Attributes:
        kind: distance of latents: mse, cosine or similarity.
        weight: weight of the alignment loss.
        weight_unlabelled: the same for bins without a label; not set: as `weight`.
    """

    kind: AlignmentKind = "mse"
    weight: float = Field(1.0, ge=0)
    weight_unlabelled: float | None = Field(None, ge=0)

    @property
    def weights(self) -> tuple[float, float]:
        """The weight of a bin without and of a bin with a label."""
        unlabelled = self.weight if self.weight_unlabelled is None else self.weight_unlabelled
        return unlabelled, self.weight


class DistillConfig(WithLosses):
    """The causal student: task loss plus alignment to the teacher's latents.

    With `task_weight` 0 no behavior is read: the student learns from the teacher alone, and its
    validation is the alignment on validation time. A readout is fitted to it afterwards.

    Attributes:
        encoder: the student's encoder, at most half the size of the teacher.
        task_weight: weight of the task loss.
        reconstruction_weight: weight of the features' reconstruction from the student's latents.
        start: the adapters begin at random (fresh) or as the teacher's (teacher).
        lookahead_ms: how long an output waits for later samples; a multiple of the bin width.
        refit_readout: solve the head once more, on the continuous training stream.
    """

    encoder: AnyEncoder
    task_weight: float = Field(1.0, ge=0, le=1)
    reconstruction_weight: float = Field(0.0, ge=0)
    start: Literal["fresh", "teacher"] = "fresh"
    alignment: AlignmentConfig = AlignmentConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    lookahead_ms: float = Field(0.0, ge=0)
    refit_readout: bool = True


class CalibrateConfig(Strict):
    """Adapting a trained student to a session it has not seen.

    Attributes:
        readout: frozen fits the head alone, in closed form; choose tries that, the head as it is
            and training, all inside the given labels, and takes the best.
        train: what moves: adapter_and_head, or everything.
    """

    readout: Literal["choose", "frozen"] = "choose"
    train: Literal["adapter_and_head", "everything"] = "adapter_and_head"
    optimization: OptimizationConfig = OptimizationConfig.model_validate(
        {"steps": 300, "learning_rate": 2e-3, "validate_every": 25, "patience": 6}
    )
