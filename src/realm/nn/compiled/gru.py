"""A gated recurrent layer with a gradient by hand: products over all bins, a loop over time.

It computes what `torch.nn.GRU` does, whose gradient on a CPU takes several times longer. Gates lie
side by side in rows of 3 d: reset, update, new. Letters: l time, b batch, d width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.compiling import compiled
from realm.nn.compiled.elementary import logistic


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
        recur_backward(*_arrays(gates, weight_h, inside, hidden, g_out, g_first, g_told))
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


@compiled(any_order=True)
def recur(gates: Any, weight: Any, bias: Any, inside: Any, hidden: Any) -> None:
    """Fill `hidden` after its first row (l + 1, b, d), from what the input says to the gates.

    gates (l, b, 3 d): the input's part, biases included, becomes the gates themselves; weight
    (d, 3 d) for the hidden values; bias (d,) inside the reset; inside (l, b, d) is filled with
    what is reset.
    """
    time, batch, width = inside.shape
    one, two = weight.dtype.type(1), weight.dtype.type(2)
    told = np.empty((batch, 3 * width), weight.dtype)
    for t in range(time):
        np.dot(hidden[t], weight, told)
        for b in range(batch):
            before, after, kept = hidden[t, b], hidden[t + 1, b], inside[t, b]
            reset, update = gates[t, b, :width], gates[t, b, width : 2 * width]
            new, heard = gates[t, b, 2 * width :], told[b]
            for j in range(2 * width):
                gates[t, b, j] = logistic(gates[t, b, j] + heard[j], one)
            fresh = told[b, 2 * width :]
            for j in range(width):
                kept[j] = fresh[j] + bias[j]
                value = new[j] + reset[j] * kept[j]
                # A hyperbolic tangent; the last term keeps NaN.
                new[j] = two * logistic(two * value, one) - one + 0 * value
                after[j] = new[j] + update[j] * (before[j] - new[j])


@compiled(any_order=True)
def recur_backward(
    gates: Any, weight: Any, inside: Any, hidden: Any, g_out: Any, g_final: Any, g_told: Any
) -> None:
    """Gradients of `recur`: `gates` becomes that of the input's part, g_told (l, b, 3 d) of the
    hidden values' part, and g_final (b, d), that of the last hidden values, that of the first.

    weight (3 d, d) is the other way round; g_out (l, b, d) is that of all hidden values.
    """
    time, batch, width = inside.shape
    one = weight.dtype.type(1)
    passed = np.empty((batch, width), weight.dtype)
    for t in range(time - 1, -1, -1):
        for b in range(batch):
            before, kept, given, g = hidden[t, b], inside[t, b], g_out[t, b], g_final[b]
            reset, update = gates[t, b, :width], gates[t, b, width : 2 * width]
            new = gates[t, b, 2 * width :]
            g_reset, g_update = g_told[t, b, :width], g_told[t, b, width : 2 * width]
            g_new = g_told[t, b, 2 * width :]
            for j in range(width):
                whole, z, n, r = g[j] + given[j], update[j], new[j], reset[j]
                g_n = whole * (one - z) * (one - n * n)
                g_z = whole * (before[j] - n) * z * (one - z)
                g_r = g_n * kept[j] * r * (one - r)
                g[j] = whole * z
                g_reset[j], g_update[j], g_new[j] = g_r, g_z, g_n * r
                reset[j], update[j], new[j] = g_r, g_z, g_n
        np.dot(g_told[t], weight, passed)
        for b in range(batch):
            row, more = g_final[b], passed[b]
            for j in range(width):
                row[j] += more[j]
