"""Patches: the channels of a session, cut into groups that become one token each.

Both maps, from features to tokens and back, belong to one session and share nothing with others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchGrid(NamedTuple):
    """How a session's channels are cut into patches: in their order, the last may be smaller."""

    channels: int
    size: int
    patches: int

    @classmethod
    def of(cls, channels: int, patch_channels: int) -> PatchGrid:
        """As few patches of at most `patch_channels` as there can be, about equally large."""
        size = -(-channels // -(-channels // patch_channels))
        return cls(channels, size, -(-channels // size))

    def cut(self, x: Tensor, axis: int) -> Tensor:
        """Turn axis `axis` (channels) into two (patches, size), zeros where there is no channel."""
        after = x.dim() - 1 - axis
        padded = F.pad(x, (0, 0) * after + (0, self.patches * self.size - self.channels))
        return padded.reshape(*x.shape[:axis], self.patches, self.size, *x.shape[axis + 1 :])


class PatchEmbedding(nn.Module):
    """One session's map of (batch, time, channels, bands) to (batch, time, patches, d_model)."""

    def __init__(self, grid: PatchGrid, bands: int, d_model: int) -> None:
        super().__init__()
        self.grid, self.bands = grid, bands
        # Uncorrelated features of unit variance arrive with unit variance.
        std = (grid.size * bands) ** -0.5
        self.weight = nn.Parameter(std * torch.randn(grid.channels, bands, d_model))
        self.bias = nn.Parameter(0.1 * torch.randn(grid.patches, d_model))  # tells patches apart

    def forward(self, features: Tensor) -> Tensor:
        """Sum over the channels and bands of each patch."""
        cut = self.grid.cut(features.to(self.weight.dtype), 2).flatten(3)
        weight = self.grid.cut(self.weight, 0).flatten(1, 2)  # (patches, size * bands, d_model)
        return torch.einsum("btpf,pfd->btpd", cut, weight) + self.bias

    def share(self, mask: Tensor) -> Tensor:
        """Share of each patch's channels that is hidden, (batch, time, patches)."""
        there = self.grid.cut(torch.ones_like(self.weight[:, 0, 0]), 0).sum(1)  # (patches,)
        return self.grid.cut(mask.to(self.weight.dtype), 2).sum(3) / there


class PatchReadout(nn.Module):
    """The way back: (batch, time, patches, d_model) to (batch, time, channels, bands)."""

    def __init__(self, grid: PatchGrid, bands: int, d_model: int) -> None:
        super().__init__()
        self.grid = grid
        # Small, so that a fresh readout predicts about the mean, which is zero.
        std = 0.1 * d_model**-0.5
        self.weight = nn.Parameter(std * torch.randn(grid.channels, bands, d_model))
        self.bias = nn.Parameter(torch.zeros(grid.channels, bands))

    def forward(self, tokens: Tensor) -> Tensor:
        """Read each channel from the token of its patch."""
        weight = self.grid.cut(self.weight, 0)  # (patches, size, bands, d_model)
        values = torch.einsum("btpd,pcnd->btpcn", tokens, weight).flatten(2, 3)
        return values[:, :, : self.grid.channels] + self.bias
