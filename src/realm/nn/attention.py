"""Attention with rotary positions, and the block that both Transformers are made of.

A rotary position turns pairs of a key's or a query's entries by angles that grow with time, so
that only how far two tokens are apart enters their product. Who may attend to whom is said by the
encoder: the causal one masks, the bidirectional one does not.

Source: Vaswani et al., "Attention is all you need", 2017; norm before each part, Xiong et al.,
2020; rotary positions, Su et al., "RoFormer", 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Heads(NamedTuple):
    """What the heads of one layer attend with, before any rotation."""

    queries: Tensor  # (batch, heads, tokens, headdim)
    keys: Tensor  # (batch, heads, tokens, headdim)
    values: Tensor  # (batch, heads, tokens, headdim)


class Geometry(NamedTuple):
    """Where the tokens are in time and who attends to whom, the same in all layers."""

    rotation: Tensor  # (2, keys, headdim / 2), cosine and sine; the queries are the last of them
    allowed: Tensor | None  # (queries, keys), True = attends; None: everyone to everyone


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

    def project(self, x: Tensor) -> Heads:
        """What the tokens (batch, tokens, d_model) ask, are found by and say."""
        batch, tokens, _ = x.shape
        projected = self.to_queries_keys_values(self.attention_norm(x))
        split = projected.view(batch, tokens, 3, -1, self.headdim).permute(2, 0, 3, 1, 4)
        return Heads(*split.unbind())

    def forward(self, x: Tensor, heads: Heads, geometry: Geometry) -> Tensor:
        """The tokens after this layer; `heads` may hold keys and values of more than these."""
        mixed = F.scaled_dot_product_attention(
            rotate(heads.queries, geometry.rotation[:, -x.shape[1] :]),
            rotate(heads.keys, geometry.rotation),
            heads.values,
            attn_mask=geometry.allowed,
        )
        x = x + self.attended(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.feed_forward(x)  # type: ignore[no-any-return]


def rotation(position: Tensor, headdim: int, longest: int) -> Tensor:
    """Cosine and sine (2, tokens, headdim / 2), float64, of tokens at these times (bins).

    The angles grow by 1 per bin in the first pair and by almost 1 / `longest` in the last.
    """
    pairs = torch.arange(headdim // 2, device=position.device) / (headdim // 2)
    slowness = float(max(longest, 2)) ** pairs.to(torch.float64)
    angle = position[:, None] / slowness
    return torch.stack((angle.cos(), angle.sin()))


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair of the last axis by the angle of its token."""
    cosine, sine = rotation
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)


def check_heads(d_model: int, headdim: int, bins: int) -> None:
    """Raise a ValueError when heads do not divide a width, or there is no bin to attend to."""
    if d_model % headdim or headdim % 2 or bins < 1:
        raise ValueError(
            "expected a d_model that is a multiple of an even headdim, and a context of 1 bin "
            f"or more, got {d_model}, {headdim} and {bins}; change one of them"
        )
