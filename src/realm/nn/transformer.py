"""A causal Transformer in the place of the Mamba-2 encoder, as a baseline.

Each bin attends to itself and to the bins just before it, `context_bins` in all and in every layer.
Positions are rotary: only how far two bins are apart enters, so a stream may be of any length. Like
the other encoders it has no norm after the last layer.

Source: Vaswani et al., "Attention is all you need", 2017; norm before each part, Xiong et al.,
2020; rotary positions, Su et al., "RoFormer", 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK_BINS = 256  # bins attended at once at least; bounds the mask of long chunks


class AttentionState(NamedTuple):
    """Keys, not yet rotated, and values of the last bins, at most context_bins - 1 of them."""

    keys: Tensor  # (batch, heads, bins, headdim)
    values: Tensor  # (batch, heads, bins, headdim)


class TransformerState(NamedTuple):
    """The states of the layers, first to last."""

    layers: tuple[AttentionState, ...]


class Geometry(NamedTuple):
    """Who attends to whom in a chunk, the same in all layers."""

    rotation: Tensor  # (2, past + time, headdim / 2), cosine and sine
    allowed: Tensor  # (time, past + time), True = attends


class CausalTransformerEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know only the past.

    Raises:
        ValueError: d_model is no multiple of headdim, headdim is odd, or there is no context.
    """

    def __init__(
        self, d_model: int, layers: int = 2, context_bins: int = 100, headdim: int = 32
    ) -> None:
        super().__init__()
        if d_model % headdim or headdim % 2 or context_bins < 1:
            raise ValueError(
                "expected a d_model that is a multiple of an even headdim, and context_bins of 1 "
                f"or more, got {d_model}, {headdim} and {context_bins}; change one of them"
            )
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
            x, keys, values = block(x, before, geometry)
            after = (whole[:, :, whole.shape[2] - keep :] for whole in (keys, values))
            states.append(AttentionState(*after))
        return x, TransformerState(tuple(states))

    def _geometry(self, past: int, x: Tensor) -> Geometry:
        """Positions count from the oldest bin remembered; wavelengths reach up to the context."""
        position = torch.arange(past + x.shape[1], device=x.device)
        pairs = torch.arange(self.headdim // 2, device=x.device) / (self.headdim // 2)
        slowness = float(max(self.context_bins, 2)) ** pairs.to(torch.float64)
        angle = position[:, None] / slowness  # (past + time, headdim / 2)
        back = position[past:, None] - position  # (time, past + time) bins back from each bin
        allowed = (back >= 0) & (back < self.context_bins)
        return Geometry(torch.stack((angle.cos(), angle.sin())).to(x.dtype), allowed)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward part, each added to what came in and with a norm before it."""

    def __init__(self, d_model: int, headdim: int) -> None:
        super().__init__()
        self.headdim = headdim
        self.attention_norm = nn.RMSNorm(d_model, eps=1e-5)
        self.to_queries_keys_values = nn.Linear(d_model, 3 * d_model, bias=False)
        self.attended = nn.Linear(d_model, d_model, bias=False)
        self.feed_forward = nn.Sequential(
            nn.RMSNorm(d_model, eps=1e-5),
            nn.Linear(d_model, 4 * d_model),
            nn.GELU(),
            nn.Linear(4 * d_model, d_model),
        )

    def forward(
        self, x: Tensor, before: AttentionState, geometry: Geometry
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, and keys and values of the past and of this chunk."""
        batch, time, d_model = x.shape
        projected = self.to_queries_keys_values(self.attention_norm(x))
        heads = projected.view(batch, time, 3, -1, self.headdim).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.unbind()  # (batch, heads, time, headdim)
        keys = torch.cat((before.keys, keys), dim=2)  # (batch, heads, past + time, headdim)
        values = torch.cat((before.values, values), dim=2)
        mixed = F.scaled_dot_product_attention(
            _rotate(queries, geometry.rotation[:, -time:]),
            _rotate(keys, geometry.rotation),
            values,
            attn_mask=geometry.allowed,
        )
        x = x + self.attended(mixed.transpose(1, 2).reshape(batch, time, d_model))
        return x + self.feed_forward(x), keys, values


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair of the last axis by the angle of its bin."""
    cosine, sine = rotation
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)
