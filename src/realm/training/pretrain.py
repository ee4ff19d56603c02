"""Pretraining the teacher: hide spans of time and groups of channels, reconstruct them.

The teacher sees past and future. With `task_weight` above zero it also decodes behavior, where
labels exist, from what is left visible; the recipe called `paper` leaves that out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.nn.losses import LossInput, masked_reconstruction, task_loss
from realm.nn.masking import MaskConfig, draw_mask
from realm.nn.teacher import Teacher
from realm.nn.whitening import Whitening, whitening
from realm.progress import Report
from realm.training.augment import augment, window_seed
from realm.training.config import PretrainConfig
from realm.training.loop import Term, TrainingResult, further_terms, train

VALIDATION_SEED = 20_140_609  # masks of validation windows are the same at every validation
BLOCK_BINS = 4096  # that are read at a time


class PretrainObjective:
    """Masked reconstruction, with the task loss where it is asked for."""

    def __init__(
        self,
        teacher: Teacher,
        config: PretrainConfig,
        seed: int,
        sessions: Mapping[str, PreparedSession],
        validation: list[list[Windows]],
    ) -> None:
        self.module, self.config, self.seed = teacher, config, seed
        self.sessions, self.validation = sessions, validation
        self.whitenings: dict[str, Whitening] = {}

    def begin(self) -> None:
        """Take the covariance of every session's training features, where errors are whitened."""
        if self.config.whitening is not None:
            self.whitenings = {
                name: whitening(training_features(session), self.config.whitening)
                for name, session in self.sessions.items()
            }

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """Masked reconstruction over hidden entries; task over known behavior."""
        noisy = augment(windows, self.config.augmentation, self.seed, step)
        masks = self._masks(windows, self.seed, step)
        return self._terms(noisy, windows, masks)

    def validate(self) -> dict[str, float]:
        """Hidden-entry error, beside the channel mean and interpolation in time."""
        terms = []
        for step, windows in enumerate(self.validation):
            masks = self._masks(windows, VALIDATION_SEED, step)
            terms += self._terms(windows, windows, masks)
            terms += reference_errors(windows, masks, self.whitenings)
        figures = mean_errors(terms)
        weighted = figures["reconstruction"] + self.config.task_weight * figures.get("task", 0.0)
        return {"score": -weighted, **figures}

    def _masks(self, windows: Sequence[Windows], seed: int, step: int) -> list[Tensor]:
        return draw_masks(windows, self.config.mask, self.bin_ms, seed, step)

    @property
    def bin_ms(self) -> float:
        """Width of a bin, the same in all sessions."""
        return next(iter(self.sessions.values())).bin_ms

    def _terms(
        self, seen: Sequence[Windows], wanted: Sequence[Windows], masks: list[Tensor]
    ) -> list[Term]:
        output = self.module(seen, masks)
        terms = [
            reconstruction_term(
                "reconstruction", 1.0, output.reconstruction, wanted, masks, self.whitenings
            )
        ]
        behavior = known = None
        if self.config.task_weight > 0:
            behavior, known = self.module.targets(wanted)
            terms.append(
                Term("task", self.config.task_weight, *task_loss(output.behavior, behavior, known))
            )
        if self.config.losses:
            given = LossInput(
                wanted,
                output.latent,
                output.behavior,
                behavior,
                known,
                reconstruction=output.reconstruction,
                masks=masks,
            )
            terms += further_terms(self.config.losses, given)
        return terms


def pretrain(
    teacher: Teacher,
    source: WindowSource,
    validation: WindowSource,
    config: PretrainConfig,
    folder: Path,
    *,
    seed: int,
    fingerprint: str,
    accelerator: Accelerator | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Train the teacher in place; see `realm.training.loop.train` for files and errors."""
    held_out = [validation.batch(step) for step in range(4)]
    objective = PretrainObjective(teacher, config, seed, source.sessions, held_out)
    return train(
        objective,
        source,
        config.optimization,
        folder,
        fingerprint=fingerprint,
        accelerator=accelerator,
        report=report,
    )


def draw_masks(
    windows: Sequence[Windows], config: MaskConfig, bin_ms: float, seed: int, step: int
) -> list[Tensor]:
    """One mask per group of windows, True = hidden, each window from a seed of its own."""
    masks = []
    for group in windows:
        _, time, channels, _ = group.features.shape
        seeds = [window_seed(seed + 1, step, index) for index in group.index.tolist()]
        masks.append(draw_mask(seeds, time, channels, config, bin_ms).to(group.features.device))
    return masks


def reference_errors(
    windows: Sequence[Windows],
    masks: Sequence[Tensor],
    whitenings: Mapping[str, Whitening] | None = None,
) -> list[Term]:
    """What reconstruction must beat: the channel's mean, and interpolation between what is seen."""
    mean = [torch.zeros_like(group.features) for group in windows]
    line = [interpolate(g.features, mask) for g, mask in zip(windows, masks, strict=True)]
    return [
        reconstruction_term("channel_mean", 0.0, mean, windows, masks, whitenings),
        reconstruction_term("interpolation", 0.0, line, windows, masks, whitenings),
    ]


def reconstruction_term(
    name: str,
    weight: float,
    guesses: Sequence[Tensor],
    wanted: Sequence[Windows],
    masks: Sequence[Tensor],
    whitenings: Mapping[str, Whitening] | None = None,
) -> Term:
    """Squared error over the hidden entries of all groups of windows.

    Whitened in the sessions that `whitenings` names.
    """
    white = whitenings or {}
    parts = [
        masked_reconstruction(guess, group.features, mask, white.get(group.session_id))
        for guess, group, mask in zip(guesses, wanted, masks, strict=True)
    ]
    total, count = (torch.stack(side).sum() for side in zip(*parts, strict=True))
    return Term(name, weight, total, count)


def training_features(session: PreparedSession) -> Iterator[NDArray[np.float32]]:
    """Normalized features of training time, block by block, (bins, channels, bands) each."""
    start, stop = session.splits["train"]
    for at in range(start, stop, BLOCK_BINS):
        yield session.features(at, min(stop, at + BLOCK_BINS))


def mean_errors(terms: Sequence[Term]) -> dict[str, float]:
    """Mean error by name, over the entries of all terms of that name."""
    sums: dict[str, list[float]] = {}
    for term in terms:
        total = sums.setdefault(term.name, [0.0, 0.0])
        total[0] += term.total.item()
        total[1] += term.entries.item()
    return {name: total / max(count, 1.0) for name, (total, count) in sums.items()}


def interpolate(features: Tensor, mask: Tensor) -> Tensor:
    """Linear interpolation in time between visible neighbours; the nearest one at the ends.

    features (batch, time, channels, bands), mask (batch, time, channels) True = hidden. A channel
    that is hidden throughout a window gets its mean, zero.
    """
    time = torch.arange(features.shape[1], device=features.device)[:, None]  # (time, 1)
    seen = torch.where(mask, -1, time).cummax(dim=1).values  # last visible bin, -1 = none
    late = torch.where(mask, features.shape[1], time)
    ahead = late.flip(1).cummin(dim=1).values.flip(1)  # next visible bin, time = none
    none = (seen < 0) & (ahead >= features.shape[1])
    before = torch.where(seen < 0, ahead, seen).clamp(max=features.shape[1] - 1)
    after = torch.where(ahead >= features.shape[1], before, ahead)
    share = (time - before) / (after - before).clamp(min=1)  # (batch, time, channels)

    def at(index: Tensor) -> Tensor:
        return features.gather(1, index[..., None].expand_as(features))

    line = at(before) + share[..., None] * (at(after) - at(before))
    return line.masked_fill(none[..., None], 0.0)
