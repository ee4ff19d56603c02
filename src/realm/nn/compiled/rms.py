"""RMSNorm in one pass over memory, forward and backward. Letters: n bins, d width."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.compiling import compiled


@compiled(any_order=True)
def norm(x: Any, weight: Any, epsilon: Any, scale: Any, out: Any) -> None:
    """Fill out (n, d), and scale (n,), one over the root mean square, for the backward pass."""
    one, width = weight.dtype.type(1), weight.size
    for t in range(len(x)):
        seen, row, total = x[t], out[t], epsilon * width
        for j in range(width):
            total += seen[j] * seen[j]
        scale[t] = one / np.sqrt(total / width)
        size = scale[t]
        for j in range(width):
            row[j] = seen[j] * size * weight[j]


@compiled(any_order=True)
def norm_backward(x: Any, weight: Any, scale: Any, g_out: Any, g_x: Any, g_weight: Any) -> None:
    """Fill g_x (n, d); g_weight (d,) is summed."""
    width = weight.size
    for t in range(len(x)):
        seen, given, row, size = x[t], g_out[t], g_x[t], scale[t]
        along = size * 0
        for j in range(width):
            change = given[j] * seen[j]
            g_weight[j] += change * size
            along += change * weight[j]
        along *= size * size / width
        for j in range(width):
            row[j] = (given[j] * weight[j] - seen[j] * along) * size


def fused_rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Norm of x (batch, time, d) on a CPU."""
    y: Tensor = _FusedNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    return y


def example(dtype: torch.dtype, backward: bool) -> tuple[Tensor, Tensor, float]:
    """Arguments of `fused_rms_norm` that need every loop."""
    ones = torch.ones(1, 2, 4, dtype=dtype)
    return ones, torch.ones(4, dtype=dtype, requires_grad=backward), 1e-5


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Compute all bins; what is kept is a number for each."""
        x = x.contiguous()
        out, scale = torch.empty_like(x), x.new_empty(x.shape[:-1])
        size = _array(weight).dtype.type(epsilon)
        norm(_rows(x), _array(weight), size, _array(scale.flatten()), _rows(out))
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x and of the weight."""
        x, weight, scale = ctx.saved_tensors
        g_x, g_weight = torch.empty_like(x), torch.zeros_like(weight)
        norm_backward(
            _rows(x),
            _array(weight),
            _array(scale.flatten()),
            _rows(g_out.contiguous()),
            _rows(g_x),
            _array(g_weight),
        )
        return g_x, g_weight, None


def _array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


def _rows(tensor: Tensor) -> Any:
    return _array(tensor).reshape(-1, tensor.shape[-1])
