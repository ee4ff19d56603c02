"""The published Mamba-2 mixer: rotary positions on B and C, no gated norm, input not scaled by dt.

Letters as in `realm.nn.ssd`. B and C of instant t are rotated by t times a fixed frequency for each
pair of their numbers. An output depends on differences of positions alone, so the state is kept in
the frame of its own instant and turned back by one position with each instant:

    state[t] = exp(dt[t] A) R(-1) state[t - 1] + x[t] B[t]^T
    y[t]     = state[t] C[t] + D x[t]

No position is stored, and a stream may run for ever.

Source: arXiv 2605.14867; Dao and Gu, "Transformers are SSMs", 2024; Su et al., "RoFormer", 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.mamba2 import causal_conv_silu
from realm.nn.ssd import ssd

BASE = 10_000.0  # of the frequencies: pair i turns by BASE^(-2 i / n) per position


class MixerState(NamedTuple):
    """What a mixer remembers of the past."""

    conv: Tensor  # (batch, conv_kernel - 1, d_inner) last inputs of the convolution
    ssm: Tensor  # (batch, h, p, n) in the frame of the last instant


class PublishedMamba2(nn.Module):
    """Project, convolve, run the state space, gate and project back: (batch, time, d_model).

    `d_model * expand` must be a multiple of headdim, d_state must be even.
    """

    def __init__(
        self, d_model: int, d_state: int, headdim: int, expand: int, conv_kernel: int
    ) -> None:
        super().__init__()
        d_inner = d_model * expand
        self.n_heads, self.headdim, self.d_state = d_inner // headdim, headdim, d_state
        self.to_signal_and_gate = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(conv_kernel, d_inner))
        self.conv_bias = nn.Parameter(torch.empty(d_inner))
        self.to_BC = nn.Linear(d_inner, 2 * d_state, bias=False)
        self.to_dt = nn.Linear(d_inner, self.n_heads)
        self.A_log = nn.Parameter(torch.arange(1, self.n_heads + 1).float().log())
        self.D = nn.Parameter(torch.ones(self.n_heads))
        self.out = nn.Linear(d_inner, d_model, bias=False)
        for parameter in (self.conv_weight, self.conv_bias):
            nn.init.uniform_(parameter, -(conv_kernel**-0.5), conv_kernel**-0.5)

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> MixerState:
        """Return the state of silence before the first bin."""
        like = self.conv_weight.new_zeros(0, dtype=dtype, device=device)
        kernel, d_inner = self.conv_weight.shape
        ssm = like.new_zeros(batch, self.n_heads, self.headdim, self.d_state)
        return MixerState(like.new_zeros(batch, kernel - 1, d_inner), ssm)

    def forward(self, x: Tensor) -> Tensor:
        """Mix a whole window, starting from silence."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Mix a chunk and return it with the state that the next chunk starts from."""
        batch, time, _ = x.shape
        if time == 0:
            return x.new_zeros(x.shape), state
        signal, gate = self.to_signal_and_gate(x).chunk(2, dim=-1)  # (batch, time, d_inner)
        recent = torch.cat((state.conv, signal), dim=1)
        inner = causal_conv_silu(recent, self.conv_weight, self.conv_bias)
        B, C = self.to_BC(inner).chunk(2, dim=-1)  # (batch, time, n)
        dt = F.softplus(self.to_dt(inner))  # (batch, time, h)
        heads = inner.view(batch, time, self.n_heads, self.headdim)
        positions = torch.arange(time, device=x.device)  # since the chunk began
        y, ssm = ssd(
            heads,
            dt,
            -torch.exp(self.A_log),
            rotated(B, positions),
            rotated(C, positions),
            rotated(state.ssm, positions[:1] - 1),
            scaled=False,
        )
        y = (y + heads * self.D[:, None]).flatten(2) * F.silu(gate)
        after = MixerState(recent[:, time:], rotated(ssm, -positions[-1:]))
        return self.out(y), after


def frequencies(n: int, device: torch.device | None = None) -> Tensor:
    """The angle of each pair of n numbers per position, (n / 2,), float64."""
    return BASE ** (-torch.arange(0, n, 2, dtype=torch.float64, device=device) / n)


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Turn x (..., n) by positions (...,), broadcast; number i forms a pair with i + n / 2."""
    angles = positions[:, None].double() * frequencies(x.shape[-1], x.device)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class BidirectionalPublishedMamba2(nn.Module):
    """A mixer that reads forward and one that reads backward, merged by a linear map and a norm.

    It needs the whole window, so it has no `step`. Arguments as in `PublishedMamba2`.
    """

    def __init__(
        self, d_model: int, d_state: int, headdim: int, expand: int, conv_kernel: int
    ) -> None:
        super().__init__()
        sizes = (d_model, d_state, headdim, expand, conv_kernel)
        self.onward = PublishedMamba2(*sizes)
        self.backward_in_time = PublishedMamba2(*sizes)
        self.merge = nn.Linear(2 * d_model, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Mix a whole window, (batch, time, d_model), with its past and its future."""
        both = (self.onward(x), self.backward_in_time(x.flip(1)).flip(1))
        merged: Tensor = self.norm(self.merge(torch.cat(both, dim=-1)))
        return merged
