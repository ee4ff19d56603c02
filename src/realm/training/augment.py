"""Noise, gains and missing channels, so that the decoder does not lean on any one of them.

Every window draws from its own generator, seeded by (seed, step, position in the global batch):
the same window gets the same noise whatever the number of processes or the order of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from realm.data.windows import Windows
from realm.training.config import AugmentationConfig


def window_seed(seed: int, step: int, index: int) -> int:
    """One 63-bit seed for a window; neighbours get unrelated ones (splitmix64 finalizer)."""
    z = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + index * 0x94D049BB133111EB) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return (z ^ (z >> 31)) >> 1


def augment(
    windows: Sequence[Windows], config: AugmentationConfig, seed: int, step: int
) -> list[Windows]:
    """Return windows with noise and gains on their features, and without some of the channels."""
    if config == AugmentationConfig():
        return list(windows)
    return [
        group._replace(features=torch.stack(_augmented(group, config, seed, step)))
        for group in windows
    ]


def _augmented(group: Windows, config: AugmentationConfig, seed: int, step: int) -> list[Tensor]:
    rows = []
    for features, index in zip(group.features, group.index.tolist(), strict=True):
        generator = torch.Generator().manual_seed(window_seed(seed, step, index))
        noise = torch.randn(features.shape, generator=generator)  # (time, channel, band)
        kept = torch.rand(features.shape[1], generator=generator) >= config.channel_dropout
        if not kept.any():  # a window without any channel teaches nothing
            kept[:] = True
        if config.gain > 0:
            gains = torch.randn(features.shape[1:], generator=generator)  # (channel, band)
            features = features * torch.exp(config.gain * gains).to(features)
        noisy = features + config.noise * noise.to(features)
        rows.append(noisy * kept.to(features)[:, None])
    return rows
