"""A causal Transformer in the place of the Mamba-2 encoder, as a baseline.

Each bin attends to itself and to the bins just before it, `context_bins` in all and in every layer.
Positions are rotary: only how far two bins are apart enters, so a stream may be of any length. Like
the other encoders it has no norm after the last layer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from realm.nn.attention import Geometry, TransformerBlock, check_heads, rotation
from realm.nn.encoders import EncoderSettings, TrainedEncoder

_BLOCK_BINS = 256  # bins attended at once at least; bounds the mask of long chunks


class TransformerSettings(EncoderSettings):
    """The size of a causal Transformer and how many bins each layer looks back."""

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(96, ge=1)
    layers: int = Field(2, ge=1)
    headdim: int = Field(32, ge=2)
    context_bins: int = Field(100, ge=1)


class AttentionState(NamedTuple):
    """Keys, not yet rotated, and values of the last bins, at most context_bins - 1 of them."""

    keys: Tensor  # (batch, heads, bins, headdim)
    values: Tensor  # (batch, heads, bins, headdim)


class TransformerState(NamedTuple):
    """The states of the layers, first to last."""

    layers: tuple[AttentionState, ...]


class CausalTransformerEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know only the past.

    Raises:
        ValueError: d_model is no multiple of headdim, headdim is odd, or there is no context.
    """

    def __init__(
        self, d_model: int, layers: int = 2, context_bins: int = 100, headdim: int = 32
    ) -> None:
        super().__init__()
        check_heads(d_model, headdim, context_bins)
        self.d_model, self.headdim, self.context_bins = d_model, headdim, context_bins
        self.blocks = nn.ModuleList(TransformerBlock(d_model, headdim) for _ in range(layers))

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> TransformerState:
        """Return the state before the first bin: there is nothing to attend to."""
        weight = next(self.parameters())
        shape = (batch, self.d_model // self.headdim, 0, self.headdim)
        empty = weight.new_zeros(shape, dtype=dtype, device=device)
        return TransformerState(tuple(AttentionState(empty, empty) for _ in self.blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Encode a whole window, with nothing before it."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Encode a chunk of any length and return the state that the next chunk starts from."""
        if x.shape[1] == 0:
            return x.new_zeros(x.shape), state
        pieces = []
        for piece in torch.split(x, max(_BLOCK_BINS, self.context_bins), dim=1):
            y, state = self._step(piece, state)
            pieces.append(y)
        return torch.cat(pieces, dim=1), state

    def _step(self, x: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        past = state.layers[0].keys.shape[2]
        geometry = self._geometry(past, x)
        keep = min(self.context_bins - 1, past + x.shape[1])
        states = []
        for block, before in zip(self.blocks, state.layers, strict=True):
            assert isinstance(block, TransformerBlock)
            heads = block.project(x)
            keys = torch.cat((before.keys, heads.keys), dim=2)  # (batch, heads, past + time, ...)
            values = torch.cat((before.values, heads.values), dim=2)
            x = block(x, heads._replace(keys=keys, values=values), geometry)
            after = (whole[:, :, whole.shape[2] - keep :] for whole in (keys, values))
            states.append(AttentionState(*after))
        return x, TransformerState(tuple(states))

    def _geometry(self, past: int, x: Tensor) -> Geometry:
        """Positions count from the oldest bin remembered; wavelengths reach up to the context."""
        position = torch.arange(past + x.shape[1], device=x.device)
        back = position[past:, None] - position  # (time, past + time) bins back from each bin
        allowed = (back >= 0) & (back < self.context_bins)
        turned = rotation(position, self.headdim, self.context_bins)
        return Geometry(turned.to(x.dtype), allowed)


def _causal(ours: TransformerSettings) -> CausalTransformerEncoder:
    return CausalTransformerEncoder(ours.d_model, ours.layers, ours.context_bins, ours.headdim)


TRANSFORMER = TrainedEncoder(TransformerSettings, _causal)
