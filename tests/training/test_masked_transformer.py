"""Pretraining the patch Transformer and reading its latents without a seam or a leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from realm.data.windows import Windows
from realm.files import read_tensors
from realm.methods.masked_transformer import (
    MaskedTransformerObjective,
    encode_in_windows,
    encode_recording,
    pretrain_masked_transformer,
    window_cuts,
)
from realm.nn.adapters import SessionInfo
from realm.nn.masking import MaskConfig
from realm.nn.patch_transformer import PatchTransformer
from realm.training.config import AugmentationConfig, OptimizationConfig
from realm.training.pretrain import draw_masks

TIME, CHANNELS = 40, 6
SESSION = SessionInfo("one", "rat", tuple("abcdef"), 1)
MASK = MaskConfig(span_ms=(30, 120), channel_share=(0.2, 0.6))
OPTIMIZATION = OptimizationConfig(
    steps=60,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=5,
    validate_every=20,
    checkpoint_every=20,
    weight_decay=0.0,
)


class Waves:
    """Windows in which two slow waves appear in all channels: hidden ones can be told."""

    def __init__(self, seed: int, stop_at: int | None = None) -> None:
        self.seed, self.stop_at = seed, stop_at

    def batch(self, step: int, rank: int = 0, world: int = 1) -> list[Windows]:
        if step == self.stop_at:
            raise KeyboardInterrupt
        rng = np.random.default_rng((self.seed, step))
        phase = rng.uniform(0, 2 * np.pi, (8, 1, 2)) + np.arange(TIME)[:, None] * [0.2, 0.5]
        mixing = np.random.default_rng(5).normal(size=(2, CHANNELS))
        features = np.sin(phase) @ mixing  # (windows, time, channels)
        x = torch.from_numpy(features[..., None].astype(np.float32))
        known = torch.zeros(8, TIME, dtype=torch.bool)
        return [Windows("one", x, torch.zeros(8, TIME, 0), known, torch.arange(8), torch.zeros(8))]


def network() -> PatchTransformer:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "layers": 1, "headdim": 8, "patch_channels": 3}
    return PatchTransformer([SESSION], TIME, **sizes)


def pretrained(folder: Path, stop_at: int | None = None, **optimization: int):
    model = network()
    result = pretrain_masked_transformer(
        model,
        Waves(1, stop_at),
        Waves(2),
        MASK,
        AugmentationConfig(noise=0.05),
        OPTIMIZATION.model_copy(update=optimization),
        folder,
        bin_ms=10.0,
        seed=0,
        fingerprint="f",
    )
    return model, result


def test_reconstruction_soon_beats_the_channel_mean(tmp_path: Path) -> None:
    model, result = pretrained(tmp_path)
    held_out = [Waves(2).batch(step) for step in range(4)]
    objective = MaskedTransformerObjective(model, MASK, AugmentationConfig(), 10.0, 0, held_out)
    with torch.no_grad():
        figures = objective.validate()
    assert figures["reconstruction"] < 0.6 * figures["channel_mean"]
    assert figures["score"] == -figures["reconstruction"] == pytest.approx(result.best_score)
    assert figures["interpolation"] > 0
    assert result.cpu_s > 0


def test_only_what_is_hidden_counts() -> None:
    model, (windows,) = network(), Waves(1).batch(0)
    with torch.no_grad():
        for parameter in model.readouts.parameters():
            parameter.zero_()  # it says the mean of everything
    objective = MaskedTransformerObjective(model, MASK, AugmentationConfig(), 10.0, 0, [])
    (term,) = objective.terms([windows], 7)
    (mask,) = draw_masks([windows], MASK, 10.0, 0, 7)
    assert term.entries == mask.sum()
    torch.testing.assert_close(term.total, windows.features[mask].square().sum())


def test_a_stopped_pretraining_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, _ = pretrained(tmp_path / "whole", steps=6, validate_every=3, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        pretrained(tmp_path / "cut", 3, steps=6, validate_every=3, checkpoint_every=2)
    again, _ = pretrained(tmp_path / "cut", steps=6, validate_every=3, checkpoint_every=2)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    kept = [read_tensors(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "cut")]
    assert all((kept[0][name] == kept[1][name]).all() for name in kept[0])


@pytest.mark.parametrize(
    ("begin", "end", "length"), [(0, 100, 30), (7, 60, 31), (5, 35, 30), (0, 4, 4), (3, 4, 1)]
)
def test_windows_keep_every_bin_once_with_context_on_both_sides(
    begin: int, end: int, length: int
) -> None:
    kept = []
    for first, part in window_cuts(begin, end, length):
        bins = np.arange(first, first + length)
        assert bins[0] >= begin
        assert bins[-1] < end
        kept += bins[part].tolist()
        margin = length // 3
        assert part.start >= margin or first == begin
        assert length - part.stop >= margin or bins[-1] == end - 1
    assert kept == list(range(begin, end))


class Recording:
    """What encoding reads of a prepared session."""

    session_id, n_bins = "one", 200
    splits = {"train": (0, 120), "validation": (125, 145), "test": (150, 200)}  # noqa: RUF012

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.values = rng.normal(size=(self.n_bins, CHANNELS, 1)).astype(np.float32)

    def features(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= self.n_bins
        return self.values[start:stop]


def test_a_recording_is_encoded_one_split_at_a_time() -> None:
    model, recording = network(), Recording()
    before = encode_recording(model, recording)
    assert before.shape == (200, 2 * 16)
    for begin, end in ((0, 120), (120, 150), (150, 200)):
        changed = Recording()
        changed.values[begin:end] += 3
        same = (encode_recording(model, changed) == before).all(axis=1)
        assert not same[begin:end].any()
        assert same[:begin].all()
        assert same[end:].all()


def test_latents_of_a_span_are_those_of_its_windows() -> None:
    model, recording = network(), Recording()
    latents = encode_in_windows(model, recording, 10, 110)
    assert latents.shape == (100, 32)
    first, part = window_cuts(10, 110, TIME)[3]
    (window,) = Waves(0).batch(0)
    features = torch.from_numpy(recording.features(first, first + TIME))[None]
    expected = model.encode([window._replace(features=features)])[0][0, part].detach().numpy()
    at = first + part.start - 10
    np.testing.assert_allclose(latents[at : at + len(expected)], expected, rtol=1e-4, atol=1e-5)
    short = encode_in_windows(model, recording, 10, 10 + TIME // 2)
    assert short.shape == (TIME // 2, 32)
