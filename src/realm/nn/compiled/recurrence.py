"""The recurrence of a gated recurrent layer over time, forward and backward.

Letters: l time, b batch, d width. Gates lie side by side in rows of 3 d: reset, update, new.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import compiled
from realm.nn.compiled.elementary import logistic


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
def recur_back(
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
