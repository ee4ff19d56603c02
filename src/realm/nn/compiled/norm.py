"""Skip connection, gate and norm at the end of a mixer, forward and backward, bin by bin.

Letters: s sequences, l time, h heads, p channels of a head, i = h p. The gate lies in the first i
columns of the merged projection; y may be longer than l, the rest is padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import compiled
from realm.nn.compiled.elementary import logistic


@compiled(any_order=True)
def gate_and_norm(
    y: Any,
    across: Any,
    from_start: Any,
    convolved: Any,
    projected: Any,
    skip: Any,
    weight: Any,
    epsilon: Any,
    scale: Any,
    out: Any,
) -> None:
    """Complete y and write out = RMSNorm((y + skip x) silu(gate)) weight.

    y (s, l', i) from inside the chunks, to which `across` (s, l', i) times from_start (s, l', h)
    is added in place; convolved (s, l', i + ...) begins with x; projected (s, l, columns); skip
    and weight (i,); scale (s, l) is filled for the backward pass; out (s, l, i).
    """
    one, width, heads = weight.dtype.type(1), weight.size, from_start.shape[2]
    p = width // heads
    for s in range(out.shape[0]):
        for t in range(out.shape[1]):
            yt, wide, x, z, row = y[s, t], across[s, t], convolved[s, t], projected[s, t], out[s, t]
            for h in range(heads):
                decay, head = from_start[s, t, h], slice(h * p, (h + 1) * p)
                part, given = yt[head], wide[head]
                for j in range(p):
                    part[j] += given[j] * decay
            total = epsilon * width
            for j in range(width):
                value = (yt[j] + skip[j] * x[j]) * z[j] * logistic(z[j], one)
                row[j] = value
                total += value * value
            size = one / np.sqrt(total / width)
            scale[s, t] = size
            for j in range(width):
                row[j] *= size * weight[j]


@compiled(any_order=True)
def gate_and_norm_backward(
    y: Any,
    convolved: Any,
    projected: Any,
    skip: Any,
    weight: Any,
    scale: Any,
    g_out: Any,
    g_y: Any,
    g_projected: Any,
    g_skip: Any,
    g_weight: Any,
    out: Any,
) -> None:
    """Gradients of `gate_and_norm`; g_y (s, l', i) is zero in the padding, `out` computed again.

    The first i columns of g_projected are filled; g_skip and g_weight are summed.
    """
    one, width = weight.dtype.type(1), weight.size
    gate, normed = np.empty_like(weight), np.empty_like(weight)
    for s in range(out.shape[0]):
        own_skip, own_weight = np.zeros_like(skip), np.zeros_like(weight)
        for t in range(out.shape[1]):
            yt, x, z, given, size = (
                y[s, t],
                convolved[s, t],
                projected[s, t],
                g_out[s, t],
                scale[s, t],
            )
            g_yt, g_z, row = g_y[s, t], g_projected[s, t], out[s, t]
            along = size * 0
            for j in range(width):
                gate[j] = logistic(z[j], one)
                normed[j] = (yt[j] + skip[j] * x[j]) * z[j] * gate[j] * size
                row[j] = normed[j] * weight[j]
                own_weight[j] += given[j] * normed[j]
                along += given[j] * row[j]
            along /= width
            for j in range(width):
                g_gated = (given[j] * weight[j] - normed[j] * along) * size
                g_yt[j] = g_gated * z[j] * gate[j]
                own_skip[j] += g_yt[j] * x[j]
                slope = gate[j] * (one + z[j] * (one - gate[j]))
                g_z[j] = g_gated * (yt[j] + skip[j] * x[j]) * slope
        g_y[s, out.shape[1] :] = 0
        g_skip += own_skip
        g_weight += own_weight
