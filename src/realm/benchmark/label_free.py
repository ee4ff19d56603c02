"""What a recipe trains without labels, and the published objective beside it.

The sessions come without behavior, so no label can reach what is trained here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.files import sha256_json
from realm.methods.masked_transformer import new_patch_transformer
from realm.methods.masked_transformer import pretrain_masked_transformer as pretrain_transformer
from realm.nn.masking import MaskConfig
from realm.nn.student import Student
from realm.nn.teacher import AnyTeacher, Teacher
from realm.progress import Progress
from realm.recipe import Recipe
from realm.stages import fingerprint, train_teachers
from realm.training.build import new_student, new_teacher
from realm.training.config import AugmentationConfig, OptimizationConfig, PretrainConfig
from realm.training.distill import distill
from realm.training.pretrain import pretrain


def label_free(recipe: Recipe) -> Recipe:
    """The recipe with no label for teacher and student."""
    pretrain = recipe.pretrain.model_copy(update={"task_weight": 0.0})
    changes: dict[str, Any] = {"task_weight": 0.0}
    if max(recipe.distill.alignment.weights) == 0:
        changes["alignment"] = recipe.distill.alignment.model_copy(update={"weight": 1.0})
    distilled = recipe.distill.model_copy(update=changes)
    return recipe.model_copy(update={"pretrain": pretrain, "distill": distilled})


def as_long(config: PretrainConfig) -> PretrainConfig:
    """One teacher, trained for as many steps as all teachers of the recipe together."""
    steps = {"steps": config.teachers * config.optimization.steps}
    longer = config.optimization.model_copy(update=steps)
    return config.model_copy(update={"teachers": 1, "optimization": longer})


def published_objective(recipe: Recipe) -> Recipe:
    """The recipe with what the published system hides, adds and compares.

    Spans of 0.1 to 0.5 s of all channels, 60% of the bins, the plain squared error; then cosine
    and reconstruction. One teacher, as published; networks, optimizer and steps stay ours.
    """
    augmentation = AugmentationConfig(noise=0.05, channel_dropout=0.15, gain=0.09)
    mask = MaskConfig(hidden_share=0.6, span_ms=(100.0, 500.0), channel_share=(1.0, 1.0))
    teacher = {"whitening": None, "mask": mask, "augmentation": augmentation}
    alignment = recipe.distill.alignment.model_copy(
        update={"kind": "cosine", "weight": 1.0, "weight_unlabelled": None}
    )
    student = {"alignment": alignment, "reconstruction_weight": 1.0, "augmentation": augmentation}
    return recipe.model_copy(
        update={
            "pretrain": as_long(recipe.pretrain).model_copy(update=teacher),
            "distill": recipe.distill.model_copy(update=student),
        }
    )


@dataclass(frozen=True)
class Networks:
    """What one recipe trains without labels on some sessions, each when it is first asked for."""

    recipe: Recipe  # as `label_free` leaves it
    sessions: tuple[PreparedSession, ...]  # without behavior
    folder: Path
    seed: int
    progress: Progress

    @cached_property
    def teacher(self) -> tuple[AnyTeacher, float]:
        """The teacher, or several as one, and the CPU seconds of the training."""
        config = self.recipe.pretrain
        return train_teachers(
            config.teachers, self.seed, lambda name, seed: self._pretrained(config, name, seed)
        )

    @cached_property
    def student(self) -> tuple[Student, float]:
        """The student of that teacher, and the CPU seconds of its own training."""
        config, name = self.recipe.distill, "student"
        student = self.untrained()
        result = distill(
            student,
            self.teacher[0],
            self.source(config.optimization.batch_size),
            self.sessions,
            config,
            self.folder / name,
            seed=self.seed,
            fingerprint=self.fingerprint("pretrain", "distill"),
            report=self._report(name, config.optimization),
        )
        return student.cpu().eval(), result.cpu_s

    @cached_property
    def causal_mae(self) -> tuple[Student, float]:
        """The student's network after the teacher's training; no teacher, no distillation."""
        changes = {"encoder": self.recipe.distill.encoder}
        config = as_long(self.recipe.pretrain).model_copy(update=changes)
        masked, cpu_s = self._pretrained(config, "causal_mae", self.seed, causal=True)
        student = self.untrained()
        student.adapters.load_state_dict(masked.adapters.state_dict())
        student.encoder.load_state_dict(masked.encoder.state_dict())
        return student.eval(), cpu_s

    @cached_property
    def transformer(self) -> tuple[Any, float]:
        """The masked Transformer over patches of channels."""
        ours = self.recipe.baselines.transformer_mae_probe  # type: ignore[attr-defined]
        torch.manual_seed(self.seed)
        source = self.source(ours.optimization.batch_size)
        network = new_patch_transformer(self.sessions, source.window_bins, ours)
        result = pretrain_transformer(
            network,
            source,
            self.source(ours.optimization.batch_size, "validation"),
            ours.mask,
            ours.augmentation,
            ours.optimization,
            self.folder / "transformer_mae",
            bin_ms=self.sessions[0].bin_ms,
            seed=self.seed,
            fingerprint=self.fingerprint("baselines"),
            report=self._report("transformer_mae", ours.optimization),
        )
        return network.cpu(), result.cpu_s

    def untrained(self) -> Student:
        """The student's network as it was drawn."""
        return new_student(self.sessions, self._no_labels, self.recipe.distill, self.seed)

    def source(self, batch_size: int, split: str = "train") -> WindowSource:
        """Windows of the signal of all sessions."""
        bins = round(self.recipe.data.window_s * 1000 / self.sessions[0].bin_ms)
        return WindowSource(
            self.sessions, split, window_bins=bins, batch_size=batch_size, seed=self.seed
        )

    def fingerprint(self, *parts: str) -> str:
        """What a training depends on."""
        data = sha256_json([fingerprint(session) for session in self.sessions])
        return self.recipe.fingerprint("signal", "data", *parts, data_hash=data, seed=self.seed)

    @property
    def _no_labels(self) -> dict[str, float]:
        return {session.session_id: 0.0 for session in self.sessions}

    def _pretrained(
        self, config: PretrainConfig, name: str, seed: int, *, causal: bool = False
    ) -> tuple[Teacher, float]:
        teacher = new_teacher(self.sessions, self._no_labels, config.encoder, seed, causal=causal)
        result = pretrain(
            teacher,
            self.source(config.optimization.batch_size),
            self.source(config.optimization.batch_size, "validation"),
            config,
            self.folder / name,
            seed=seed,
            fingerprint=self.fingerprint("pretrain", "distill"),
            report=self._report(name, config.optimization),
        )
        return teacher.cpu().eval(), result.cpu_s

    def _report(self, name: str, optimization: OptimizationConfig) -> Any:
        title = f"seed {self.seed} {self.folder.name} {name}"
        self.progress.say(title)
        return self.progress.training(title, optimization.steps)
