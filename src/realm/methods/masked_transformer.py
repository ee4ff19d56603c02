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
from pydantic import Field
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.files import sha256_json
from realm.methods.complexity import Complexity, patch_transformer_complexity
from realm.methods.experiment import Decode, Experiment
from realm.methods.method import Design, Method, OneOf
from realm.methods.networks import sizes, trained_by_itself
from realm.methods.probes import HIDDEN, probe
from realm.nn.masking import MaskConfig
from realm.nn.patch_transformer import PatchTransformer
from realm.progress import Report
from realm.training.augment import augment
from realm.training.build import session_info
from realm.training.config import AugmentationConfig, OptimizationConfig, Strict
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


NAME = "transformer_mae_probe"


class LongOptimization(OptimizationConfig):
    """As for all trainings, with defaults for one without labels: more steps, more slowly."""

    steps: int = Field(2000, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    patience: int = Field(6, ge=1)


class TransformerMaeConfig(Strict):
    """Masked-autoencoding Transformer over patches of channels; pretrained without labels.

    Its training is its own: nothing of the student's applies to it.

    Attributes:
        d_model: width of a token.
        layers: number of layers.
        headdim: width of an attention head; divides `d_model`.
        patch_channels: the most channels that make one token of a bin.
    """

    d_model: int = Field(128, ge=1)
    layers: int = Field(4, ge=1)
    headdim: int = Field(32, ge=2)
    patch_channels: int = Field(32, ge=1)
    mask: MaskConfig = MaskConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimization: LongOptimization = LongOptimization()


class MaskedTransformerObjective:
    """Masked reconstruction and nothing else."""

    def __init__(
        self,
        network: PatchTransformer,
        mask: MaskConfig,
        augmentation: AugmentationConfig,
        bin_ms: float,
        seed: int,
        validation: Sequence[list[Windows]],
    ) -> None:
        self.module, self.mask, self.augmentation = network, mask, augmentation
        self.bin_ms, self.seed, self.validation = bin_ms, seed, validation

    def begin(self) -> None:
        """Nothing to do before the first step."""

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """Squared error over hidden entries."""
        masks = draw_masks(windows, self.mask, self.bin_ms, self.seed, step)
        noisy = augment(windows, self.augmentation, self.seed, step)
        return [self._reconstruction(noisy, windows, masks)]

    def validate(self) -> dict[str, float]:
        """Hidden-entry error, beside the channel mean and interpolation in time."""
        terms = []
        for step, windows in enumerate(self.validation):
            masks = draw_masks(windows, self.mask, self.bin_ms, VALIDATION_SEED, step)
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
    bin_ms: float,
    seed: int,
    fingerprint: str,
    report: Report | None = None,
) -> TrainingResult:
    """Train the network in place; see `realm.training.loop.train` for files and errors."""
    held_out = [validation.batch(step) for step in range(VALIDATION_BATCHES)]
    objective = MaskedTransformerObjective(network, mask, augmentation, bin_ms, seed, held_out)
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


def _train(experiment: Experiment, ours: TransformerMaeConfig) -> Decode:
    window_bins = experiment.source.window_bins
    torch.manual_seed(experiment.seed)
    network = new_patch_transformer(experiment.sessions, window_bins, ours)
    source, validation = (
        WindowSource(
            experiment.sessions,
            split,
            window_bins=window_bins,
            batch_size=ours.optimization.batch_size,
            seed=experiment.seed,
        )
        for split in ("train", "validation")
    )
    result = pretrain_masked_transformer(
        network,
        source,
        validation,
        ours.mask,
        ours.augmentation,
        ours.optimization,
        experiment.folder / NAME,
        bin_ms=experiment.sessions[0].bin_ms,
        seed=experiment.seed,
        fingerprint=pretraining_of(experiment, ours),
        report=experiment.report,
    )
    network.cpu()

    def parameters(session_id: str) -> int:
        own = network.session_parameters(session_id)
        return sum(p.numel() for p in [*network.encoder.parameters(), *own])

    return probe(
        experiment, lambda session: encode_recording(network, session), parameters, result.cpu_s
    )


def new_patch_transformer(
    sessions: Sequence[PreparedSession], window_bins: int, ours: TransformerMaeConfig
) -> PatchTransformer:
    """An untrained network of these sessions."""
    return PatchTransformer(
        [session_info(session) for session in sessions],
        window_bins,
        d_model=ours.d_model,
        layers=ours.layers,
        headdim=ours.headdim,
        patch_channels=ours.patch_channels,
    )


def pretraining_of(experiment: Experiment, ours: TransformerMaeConfig) -> str:
    """Fingerprint of what the Transformer's pretraining depends on: no labels, no student."""
    made_from = ("input_sha256", "config_sha256")
    sessions = [[s.provenance[name] for name in made_from] for s in experiment.sessions]
    settings = ours.model_dump(mode="json")
    windows = {"bins": experiment.source.window_bins, "seed": experiment.seed}
    return sha256_json({"sessions": sessions, "windows": windows, "settings": settings})


def _complexity(design: Design, ours: TransformerMaeConfig) -> Complexity:
    network = new_patch_transformer(design.sessions, design.window_bins, ours)
    return patch_transformer_complexity(network, design.widest.session_id, design.dims)


TRANSFORMER_MAE_PROBE = Method(
    NAME,
    _train,
    TransformerMaeConfig,
    _complexity,
    order=110,
    colour="#9E1B32",
    marker="d",
    space={
        **trained_by_itself(f"baselines.{NAME}"),
        **sizes(f"baselines.{NAME}", OneOf((96, 128)), OneOf((2, 4))),
        f"baselines.{NAME}.mask.hidden_share": HIDDEN,
        f"baselines.{NAME}.optimization.steps": OneOf((1000, 2000, 3000)),
    },
)
