"""Pretraining the patch Transformer, and reading its latents: self-supervised, without labels.

What is hidden and how it is scored is what `realm.training.pretrain` does for the teacher. The
network reads windows of one length only, so a recording is encoded in overlapping windows of which
the middle third is kept, and one split at a time: it looks both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.nn.masking import MaskConfig
from realm.nn.patch_transformer import PatchTransformer
from realm.progress import Report
from realm.training.augment import augment
from realm.training.config import AugmentationConfig, OptimizationConfig
from realm.training.latents import features_only, spans_of_splits
from realm.training.loop import Term, TrainingResult, train
from realm.training.pretrain import (
    VALIDATION_SEED,
    draw_masks,
    mean_errors,
    reconstruction_term,
    reference_errors,
)

VALIDATION_BATCHES = 4
ENCODED_TOGETHER = 16  # windows; bounds memory


class MaskedTransformerObjective:
    """Masked reconstruction and nothing else."""

    def __init__(
        self,
        network: PatchTransformer,
        mask: MaskConfig,
        augmentation: AugmentationConfig,
        seed: int,
        validation: Sequence[list[Windows]],
    ) -> None:
        self.module, self.mask, self.augmentation = network, mask, augmentation
        self.seed, self.validation = seed, validation

    def begin(self) -> None:
        """Nothing to do before the first step."""

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """Squared error over hidden entries."""
        masks = draw_masks(windows, self.mask, self.seed, step)
        noisy = augment(windows, self.augmentation, self.seed, step)
        return [self._reconstruction(noisy, windows, masks)]

    def validate(self) -> dict[str, float]:
        """Hidden-entry error, beside the channel mean and interpolation in time."""
        terms = []
        for step, windows in enumerate(self.validation):
            masks = draw_masks(windows, self.mask, VALIDATION_SEED, step)
            terms.append(self._reconstruction(windows, windows, masks))
            terms += reference_errors(windows, masks)
        figures = mean_errors(terms)
        return {"score": -figures["reconstruction"], **figures}

    def _reconstruction(
        self, seen: Sequence[Windows], wanted: Sequence[Windows], masks: Sequence[Tensor]
    ) -> Term:
        guesses = self.module(seen, masks).reconstruction
        return reconstruction_term("reconstruction", 1.0, guesses, wanted, masks)


def pretrain_masked_transformer(
    network: PatchTransformer,
    source: WindowSource,
    validation: WindowSource,
    mask: MaskConfig,
    augmentation: AugmentationConfig,
    optimization: OptimizationConfig,
    folder: Path,
    *,
    seed: int,
    fingerprint: str,
    report: Report | None = None,
) -> TrainingResult:
    """Train the network in place; see `realm.training.loop.train` for files and errors."""
    held_out = [validation.batch(step) for step in range(VALIDATION_BATCHES)]
    objective = MaskedTransformerObjective(network, mask, augmentation, seed, held_out)
    return train(objective, source, optimization, folder, fingerprint=fingerprint, report=report)


def encode_recording(network: PatchTransformer, session: PreparedSession) -> NDArray[np.float32]:
    """Latents of a whole session, (n_bins, patches * d_model), each split by itself."""
    spans = spans_of_splits(session)
    return np.concatenate([encode_in_windows(network, session, *span) for span in spans])


@torch.no_grad()
def encode_in_windows(
    network: PatchTransformer, session: PreparedSession, begin: int, end: int
) -> NDArray[np.float32]:
    """Latents of bins [begin, end) with nothing hidden, from the signal of these bins alone."""
    network.eval()
    device = next(network.parameters()).device
    length = min(network.window_bins, end - begin)
    pieces = []
    for group in _in_groups(window_cuts(begin, end, length)):
        cut = np.stack([session.features(first, first + length) for first, _ in group])
        windows = features_only(session.session_id, torch.from_numpy(cut).to(device))
        latents = network.encode([windows])[0].cpu().numpy()  # (windows, time, width)
        pieces += [rows[kept] for rows, (_, kept) in zip(latents, group, strict=True)]
    return np.concatenate(pieces)


def window_cuts(begin: int, end: int, length: int) -> list[tuple[int, slice]]:
    """First bin of windows of `length` within [begin, end), and which of its bins are kept.

    The kept ones follow each other without a gap from `begin` to `end`. A third of a window lies
    on either side of what is kept, less on one side at the ends.
    """
    margin = length // 3
    step = length - 2 * margin
    cuts = []
    for start in range(begin, end, step):
        first = min(max(begin, start - margin), end - length)
        cuts.append((first, slice(start - first, min(start + step, end) - first)))
    return cuts


def _in_groups(cuts: list[tuple[int, slice]]) -> Iterator[list[tuple[int, slice]]]:
    for at in range(0, len(cuts), ENCODED_TOGETHER):
        yield cuts[at : at + ENCODED_TOGETHER]
