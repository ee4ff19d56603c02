"""A gated recurrent layer with a gradient by hand: products over all bins, a loop over time.

It computes what `torch.nn.GRU` does, whose gradient on a CPU takes several times longer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.nn.compiled.recurrence import recur, recur_back


def fused_gru_layer(
    x: Tensor, hidden: Tensor, weight_x: Tensor, weight_h: Tensor, bias_x: Tensor, bias_h: Tensor
) -> Tensor:
    """Run one layer over x (time, batch, width in) on a CPU; returns (time, batch, d).

    hidden (batch, d) is what it remembers; weights (3 d, width in) and (3 d, d) and biases (3 d,)
    are those of `torch.nn.GRU`.
    """
    y: Tensor = _FusedLayer.apply(x, hidden, weight_x, weight_h, bias_x, bias_h)  # type: ignore[no-untyped-call]
    return y


def example(dtype: torch.dtype, backward: bool) -> tuple[Tensor, ...]:
    """Arguments of `fused_gru_layer` that need every loop."""
    sizes = ((2, 1, 4), (1, 4), (12, 4), (12, 4), (12,), (12,))
    return tuple(torch.zeros(size, dtype=dtype, requires_grad=backward) for size in sizes)


class _FusedLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        first: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias_x: Tensor,
        bias_h: Tensor,
    ) -> Tensor:
        """Compute all bins and keep the gates for the backward pass."""
        (time, batch, _), d = x.shape, weight_h.shape[1]
        hidden = x.new_empty(time + 1, batch, d)
        hidden[0] = first
        gates = torch.addmm(bias_x, x.reshape(time * batch, -1), weight_x.t())
        gates[:, : 2 * d] += bias_h[: 2 * d]
        gates = gates.view(time, batch, 3 * d)
        inside = x.new_empty(time, batch, d)
        recur(*_arrays(gates, weight_h.t(), bias_h[2 * d :], inside, hidden))
        y = hidden[1:]
        ctx.kept = gates, inside
        ctx.save_for_backward(x, weight_x, weight_h, hidden)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients from the last bin to the first."""
        x, weight_x, weight_h, hidden = ctx.saved_tensors
        gates, inside = ctx.kept[0].clone(), ctx.kept[1]
        g_told, g_first = torch.empty_like(gates), torch.zeros_like(hidden[0])
        recur_back(*_arrays(gates, weight_h, inside, hidden, g_out, g_first, g_told))
        g_gates, g_told = gates.flatten(0, 1), g_told.flatten(0, 1)
        return (
            (g_gates @ weight_x).view(x.shape),
            g_first,
            g_gates.t() @ x.reshape(len(g_gates), -1),
            g_told.t() @ hidden[:-1].flatten(0, 1),
            g_gates.sum(0),
            g_told.sum(0),
        )


def _arrays(*tensors: Tensor) -> tuple[np.ndarray[Any, Any], ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
