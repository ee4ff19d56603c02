"""The Mamba-2 mixer: how a layer of the encoder mixes over time.

`Mamba2` is causal and streams; `BidirectionalMamba2` reads a window both ways, for the teacher.
Letters as in `ssd.py`: h heads of p channels, n size of the state, dt step, B into and C out of
the state.

Two choices suit field potentials. Learned biases of one on B and C and on the gate make a fresh
mixer close to a bank of linear time-invariant low-pass filters, which then learns to depend on
the input. The time constants 1 / (dt |A|) of the heads start spread evenly, on a log scale, over
`timescale_bins`.

Source: Dao and Gu, "Transformers are SSMs", 2024, section 7; biases on B and C as in later work on
the same family.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.fusing import fused
from realm.nn.norms import gated_norm
from realm.nn.ssd import ssd

STREAMED_LENGTH = 500  # bins at a time where no gradient is wanted


class Mamba2State(NamedTuple):
    """What a mixer remembers of the past."""

    conv: Tensor  # (batch, conv_kernel - 1, channels) last inputs of the convolution
    ssm: Tensor  # (batch, h, p, n)


class Mamba2(nn.Module):
    """Project, convolve, run the state space, gate, normalize and project back.

    Input and output (batch, time, d_model), any time, zero included. d_model * expand must be a
    multiple of headdim. `timescale_bins` is the shortest and longest initial time constant; of 10
    ms bins, (5, 200) is 50 ms to 2 s.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        headdim: int = 32,
        expand: int = 2,
        conv_kernel: int = 4,
        timescale_bins: tuple[float, float] = (5.0, 200.0),
    ) -> None:
        super().__init__()
        d_inner = d_model * expand
        if d_inner % headdim:
            raise ValueError(
                f"expected d_model * expand to be a multiple of headdim, got {d_model} * {expand} "
                f"and {headdim}; choose a headdim that divides {d_inner}"
            )
        self.n_heads, self.headdim, self.d_state = d_inner // headdim, headdim, d_state
        self.conv_kernel = conv_kernel
        n_convolved = d_inner + 2 * d_state
        self.to_gate = nn.Linear(d_model, d_inner)
        self.to_xBC = nn.Linear(d_model, n_convolved, bias=False)
        self.to_dt = nn.Linear(d_model, self.n_heads)
        self.conv_weight = nn.Parameter(torch.empty(conv_kernel, n_convolved))
        self.conv_bias = nn.Parameter(torch.zeros(n_convolved))
        self.B_bias = nn.Parameter(torch.ones(d_state))
        self.C_bias = nn.Parameter(torch.ones(d_state))
        self.A_log = nn.Parameter(torch.zeros(self.n_heads))
        self.D = nn.Parameter(torch.ones(self.n_heads))
        self.norm_weight = nn.Parameter(torch.ones(d_inner))
        self.out = nn.Linear(d_inner, d_model, bias=False)
        self._initialize(timescale_bins)

    def _initialize(self, timescale_bins: tuple[float, float]) -> None:
        bound = self.conv_kernel**-0.5
        nn.init.uniform_(self.conv_weight, -bound, bound)
        nn.init.ones_(self.to_gate.bias)
        if not 0 < timescale_bins[0] <= timescale_bins[1]:
            raise ValueError(
                f"expected timescale_bins as (shortest, longest) above 0, got {timescale_bins}; "
                "give the smaller one first"
            )
        shortest, longest = (math.log(bins) for bins in timescale_bins)
        dt = torch.linspace(-shortest, -longest, self.n_heads).exp()
        with torch.no_grad():  # the inverse of softplus; |A| starts at one
            self.to_dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Mamba2State:
        """Return the state of silence before the first bin."""
        like = self.conv_weight.new_zeros(0, dtype=dtype, device=device)
        conv = like.new_zeros(batch, self.conv_kernel - 1, self.conv_weight.shape[1])
        return Mamba2State(conv, like.new_zeros(batch, self.n_heads, self.headdim, self.d_state))

    def forward(self, x: Tensor) -> Tensor:
        """Mix a whole window, (batch, time, d_model), starting from silence."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        """Mix a chunk and return it with the state that the next chunk starts from."""
        if x.shape[1] == 0:
            return x.new_zeros(x.shape), state
        mix = fused("mixer", x, self.conv_kernel)
        if mix is None:
            return self._plain_step(x, state)
        # Without gradients nothing is kept of a piece, so that it stays in the cache.
        longest = x.shape[1] if torch.is_grad_enabled() else STREAMED_LENGTH
        parameters, pieces = self._merged(), []
        conv, ssm = state
        for piece in _pieces(x, longest):
            y, conv, ssm = mix(piece, conv, ssm, parameters)
            pieces.append(y)
        return torch.cat(pieces, dim=1) if len(pieces) > 1 else y, Mamba2State(conv, ssm)

    def _plain_step(self, x: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        """Compute the same with a function of torch for each part: short chunks, GPUs, oracle."""
        batch, time, _ = x.shape
        recent = torch.cat((state.conv, self.to_xBC(x)), dim=1)  # (batch, k - 1 + time, channels)
        convolved = causal_conv_silu(recent, self.conv_weight, self.conv_bias)
        sizes = [self.n_heads * self.headdim, self.d_state, self.d_state]
        inner, B, C = torch.split(convolved, sizes, dim=-1)
        inner = inner.view(batch, time, self.n_heads, self.headdim)  # (batch, time, h, p)
        dt = F.softplus(self.to_dt(x))  # (batch, time, h)
        A = -torch.exp(self.A_log)
        y, ssm = ssd(inner, dt, A, B + self.B_bias, C + self.C_bias, state.ssm)
        y = gated_norm(y, inner, self.D, self.to_gate(x).to(y.dtype), self.norm_weight)
        return self.out(y), Mamba2State(recent[:, time:], ssm)

    def _merged(self) -> tuple[Tensor, ...]:
        """The parameters as `realm.nn.compiled.block.Parameters` has them."""
        inner = self.n_heads * self.headdim
        silent = self.to_gate.bias.new_zeros(inner + 2 * self.d_state)
        return (
            torch.cat((self.to_gate.weight, self.to_xBC.weight, self.to_dt.weight)),
            torch.cat((self.to_gate.bias, silent, self.to_dt.bias)),
            self.conv_weight,
            self.conv_bias,
            torch.cat((silent[:inner], self.B_bias, self.C_bias)),
            -torch.exp(self.A_log),
            self.D.repeat_interleave(self.headdim),
            self.norm_weight,
            self.out.weight,
        )


def causal_conv_silu(recent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel over time and apply SiLU.

    Shifted products take less time on a CPU than a general convolution, for four taps.

    recent (batch, kernel - 1 + time, channels) begins with the last inputs before the chunk;
    weight (kernel, channels), the last tap for the present; bias (channels,).
    Returns (batch, time, channels).
    """
    time = recent.shape[1] - len(weight) + 1
    if time == 1:
        return F.silu((recent * weight).sum(1, keepdim=True) + bias)
    y = bias
    for lag, tap in enumerate(weight):
        y = torch.addcmul(y, recent[:, lag : lag + time], tap)
    return F.silu(y)


def _pieces(x: Tensor, longest: int) -> list[Tensor]:
    """X (batch, time, d) in pieces of time of `longest` bins, the last one of up to two."""
    last = max(0, x.shape[1] // longest - 1) * longest
    return [*torch.split(x[:, :last], longest, dim=1), x[:, last:]] if last else [x]


class BidirectionalMamba2(nn.Module):
    """The sum of a mixer that reads forward in time and one that reads backward.

    It needs the whole window, so it has no `step`. Arguments as in `Mamba2`.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        headdim: int = 32,
        expand: int = 2,
        conv_kernel: int = 4,
        timescale_bins: tuple[float, float] = (5.0, 200.0),
    ) -> None:
        super().__init__()
        sizes = (d_model, d_state, headdim, expand, conv_kernel, timescale_bins)
        self.onward = Mamba2(*sizes)
        self.backward_in_time = Mamba2(*sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Mix a whole window, (batch, time, d_model), with its past and its future."""
        onward: Tensor = self.onward(x)
        back: Tensor = self.backward_in_time(x.flip(1))
        return onward + back.flip(1)
