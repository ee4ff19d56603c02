"""A short causal convolution of each channel, followed by SiLU: the local memory of a mixer.

Written as shifted products with a gradient by hand: for four taps this takes a fraction of the
time of a general convolution on a CPU, most of all backward.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.nn.blocks import blocks_of_rows


def causal_conv_silu(recent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve over time and apply SiLU.

    recent (batch, kernel - 1 + time, channels) begins with the last inputs before the chunk;
    weight (kernel, channels), the last tap for the present; bias (channels,).
    Returns (batch, time, channels).
    """
    if len(weight) == recent.shape[1]:  # one bin
        return F.silu((recent * weight).sum(1, keepdim=True) + bias)
    if recent.device.type != "cpu":
        return causal_conv_silu_autograd(recent, weight, bias)
    y: Tensor = _CausalConvSiLU.apply(recent, weight, bias)  # type: ignore[no-untyped-call]
    return y


def causal_conv_silu_autograd(recent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute the same with torch's own convolution and gradients."""
    weight = weight.t()[:, None]  # (channels, 1, kernel)
    y = F.conv1d(recent.transpose(1, 2), weight, bias, groups=weight.shape[0])
    return F.silu(y).transpose(1, 2)


class _CausalConvSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, length, channels = recent.shape
        time = length - len(weight) + 1
        linear = recent.new_empty(batch, time, channels)  # before SiLU
        y = recent.new_empty(batch, time, channels)
        for rows in blocks_of_rows(linear):
            torch.addcmul(bias, recent[rows, :time], weight[0], out=linear[rows])
            for lag in range(1, len(weight)):
                linear[rows].addcmul_(recent[rows, lag : lag + time], weight[lag])
            torch.ops.aten.silu.out(linear[rows], out=y[rows])
        ctx.save_for_backward(recent, weight, linear)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        recent, weight, linear = ctx.saved_tensors
        time = linear.shape[1]
        g_recent = recent.new_empty(recent.shape)
        g_weight, g_bias = torch.zeros_like(weight), torch.zeros_like(weight[0])
        for rows in blocks_of_rows(linear):
            g_linear = torch.ops.aten.silu_backward(gy[rows], linear[rows])
            g_bias += g_linear.sum((0, 1))
            torch.mul(g_linear, weight[0], out=g_recent[rows, :time])
            g_recent[rows, time:] = 0
            for lag, tap in enumerate(weight):
                seen = slice(lag, lag + time)
                if lag:
                    g_recent[rows, seen].addcmul_(g_linear, tap)
                g_weight[lag] += (g_linear * recent[rows, seen]).sum((0, 1))
        return g_recent, g_weight, g_bias
