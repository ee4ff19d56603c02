"""The causal convolution with SiLU, forward and backward, a row of channels at a time.

Letters: s sequences, l time, k taps, c channels. The input lies in the columns from `first` on of
a wider array, as the merged projection of the mixer gives it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.nn.compiled.elementary import compiled, logistic


@compiled
def linear_row(
    projected: Any, past: Any, t: int, first: int, taps: Any, bias: Any, out: Any
) -> None:
    """The convolution at time t of one sequence, before SiLU, into `out` (c,)."""
    n_taps, channels = taps.shape
    out[:] = bias
    for k in range(n_taps):
        at, tap = t - (n_taps - 1 - k), taps[k]
        seen = projected[at, first : first + channels] if at >= 0 else past[n_taps - 1 + at]
        for j in range(channels):
            out[j] += seen[j] * tap[j]


@compiled
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


@compiled
def convolve_back(
    projected: Any, past: Any, first: int, taps: Any, bias: Any, g_out: Any,
    g_projected: Any, g_past: Any, g_taps: Any, g_bias: Any,
) -> None:  # fmt: skip
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
