"""The causal convolution with SiLU, forward and backward, a row of channels at a time.

Letters: s sequences, l time, k taps, c channels. The input lies in the columns from `first` on of
a wider array, as the merged projection of the mixer gives it. Four taps, the usual number, are
summed in one pass over a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import compiled
from realm.nn.compiled.elementary import logistic


@compiled(any_order=True)
def _heard(projected: Any, past: Any, at: int, first: int) -> Any:
    """The input (c,) of one sequence at a time that may lie before its begin."""
    channels = past.shape[1]
    return projected[at, first : first + channels] if at >= 0 else past[len(past) + at]


@compiled(any_order=True)
def linear_row(
    projected: Any, past: Any, t: int, first: int, taps: Any, bias: Any, out: Any
) -> None:
    """The convolution at time t of one sequence, before SiLU, into `out` (c,)."""
    n_taps, channels = taps.shape
    if n_taps == 4:
        x0, x1 = _heard(projected, past, t - 3, first), _heard(projected, past, t - 2, first)
        x2, x3 = _heard(projected, past, t - 1, first), _heard(projected, past, t, first)
        w0, w1, w2, w3 = taps[0], taps[1], taps[2], taps[3]
        for j in range(channels):
            early, late = x0[j] * w0[j] + x1[j] * w1[j], x2[j] * w2[j] + x3[j] * w3[j]
            out[j] = bias[j] + (early + late)
        return
    out[:] = bias
    for k in range(n_taps):
        at, tap = t - (n_taps - 1 - k), taps[k]
        seen = projected[at, first : first + channels] if at >= 0 else past[n_taps - 1 + at]
        for j in range(channels):
            out[j] += seen[j] * tap[j]


@compiled(any_order=True)
def convolve(
    projected: Any, past: Any, first: int, taps: Any, bias: Any, shift: Any, out: Any
) -> None:
    """SiLU of the convolution, plus `shift` (c,), into out (s, l or longer, c); the rest is zero.

    projected (s, l, columns), past (s, k - 1, c), taps (k, c), bias (c,).
    """
    one = taps.dtype.type(1)
    for s in range(projected.shape[0]):
        for t in range(projected.shape[1]):
            row = out[s, t]
            linear_row(projected[s], past[s], t, first, taps, bias, row)
            for j in range(row.size):
                row[j] = row[j] * logistic(row[j], one) + shift[j]
        out[s, projected.shape[1] :] = 0


@compiled(any_order=True)
def convolve_backward(
    projected: Any,
    past: Any,
    first: int,
    taps: Any,
    bias: Any,
    g_out: Any,
    g_projected: Any,
    g_past: Any,
    g_taps: Any,
    g_bias: Any,
) -> None:
    """Gradients of `convolve`: columns of g_projected and g_past are filled, the others summed."""
    one, (n_taps, channels) = taps.dtype.type(1), taps.shape
    linear, g_row = np.empty_like(bias), np.empty_like(bias)
    g_past[:] = 0
    for s in range(projected.shape[0]):
        own_taps, own_bias = np.zeros_like(taps), np.zeros_like(bias)
        for t in range(projected.shape[1]):
            linear_row(projected[s], past[s], t, first, taps, bias, linear)
            given = g_out[s, t]
            for j in range(channels):
                open_ = logistic(linear[j], one)
                g_row[j] = given[j] * open_ * (one + linear[j] * (one - open_))
                own_bias[j] += g_row[j]
            g_projected[s, t, first : first + channels] = 0
            for k in range(n_taps):
                at, tap, g_tap = t - (n_taps - 1 - k), taps[k], own_taps[k]
                if at >= 0:
                    seen = projected[s, at, first : first + channels]
                    target = g_projected[s, at, first : first + channels]
                else:
                    seen, target = past[s, n_taps - 1 + at], g_past[s, n_taps - 1 + at]
                for j in range(channels):
                    g_tap[j] += g_row[j] * seen[j]
                    target[j] += g_row[j] * tap[j]
        g_taps += own_taps
        g_bias += own_bias
