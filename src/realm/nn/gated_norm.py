"""The end of a mixer: skip connection, gate and norm in one pass over memory.

out = RMSNorm((y + D x) * silu(z)) * weight, the norm over all channels of a bin. The gradient is
by hand and works through blocks of bins that stay in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.nn.blocks import blocks_of_rows

EPSILON = 1e-5


def gated_norm(y: Tensor, x: Tensor, skip: Tensor, gate: Tensor, weight: Tensor) -> Tensor:
    """Add the skipped input, gate and normalize.

    y, x (batch, time, heads, channels of a head); skip (heads,); gate (batch, time, channels);
    weight (channels,). Returns (batch, time, channels).
    """
    if y.device.type != "cpu" or y.shape[1] == 1:  # one bin is not worth the blocks
        return gated_norm_autograd(y, x, skip, gate, weight)
    by_channel = skip.repeat_interleave(y.shape[-1])  # broadcasting rows is faster than columns
    bins = [t.reshape(-1, gate.shape[-1]) for t in (y, x, gate)]
    out: Tensor = _GatedNorm.apply(*bins, by_channel, weight)  # type: ignore[no-untyped-call]
    return out.view(gate.shape)


def gated_norm_autograd(y: Tensor, x: Tensor, skip: Tensor, gate: Tensor, weight: Tensor) -> Tensor:
    """Compute the same with torch's own gradients."""
    gated = (y + x * skip[:, None]).flatten(2) * F.silu(gate)
    return F.rms_norm(gated, weight.shape, weight, EPSILON)


class _GatedNorm(torch.autograd.Function):
    """As `gated_norm`: y, x and gate (bins, channels), skip and weight (channels,)."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, x: Tensor, gate: Tensor, skip: Tensor, weight: Tensor
    ) -> Tensor:
        out = gate.new_empty(gate.shape)
        scale = gate.new_empty(len(gate), 1)  # one over the root mean square of a bin
        for bins in blocks_of_rows(gate):
            gated = torch.addcmul(y[bins], x[bins], skip)
            gated.mul_(F.silu(gate[bins]))
            scale[bins] = gated.square().mean(-1, keepdim=True).add_(EPSILON).rsqrt_()
            torch.mul(gated.mul_(scale[bins]), weight, out=out[bins])
        ctx.save_for_backward(y, x, gate, skip, weight, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, ...]:
        y, x, gate, skip, weight, scale = ctx.saved_tensors
        g_y, g_x, g_gate = (t.new_empty(t.shape) for t in (y, x, gate))
        g_skip, g_weight = torch.zeros_like(skip), torch.zeros_like(weight)
        for bins in blocks_of_rows(gate):
            total = torch.addcmul(y[bins], x[bins], skip)
            opened = F.silu(gate[bins])
            normed = (total * opened).mul_(scale[bins])
            g_normed = g_out[bins] * normed
            g_weight += g_normed.sum(0)
            along = g_normed.mul_(weight).mean(-1, keepdim=True)
            g_gated = (g_out[bins] * weight).addcmul_(normed, along, value=-1).mul_(scale[bins])
            g_total = torch.mul(g_gated, opened, out=g_y[bins])
            torch.mul(g_total, skip, out=g_x[bins])
            g_skip += (g_total * x[bins]).sum(0)
            g_opened = g_gated.mul_(total)
            g_gate[bins] = torch.ops.aten.silu_backward(g_opened, gate[bins])
        return g_y, g_x, g_gate, g_skip, g_weight
