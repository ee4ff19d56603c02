"""The state space between its matrix products, forward and backward.

Letters as in `realm.nn.ssd`: s sequences, l time (whole chunks), c chunks, q bins of a chunk,
g = s c, h heads of p channels, n state, i = h p. u = dt x; `decay` is the sum of dt A since the
chunk began.

The gradient of `decay` needs no sum over the kernels: scaling the decay at t scales all that y[t]
reads and divides all that u[t] gives, so it is gy[t] . y[t] - u[t] . du[t], plus at a chunk's end
what its final state passes on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realm.compiling import compiled
from realm.nn.compiled.elementary import exp
from realm.nn.ssd import LOWEST_EXPONENT


@compiled(any_order=True)
def steps(projected: Any, first: int, A: Any, q: int, dt: Any, decay: Any) -> None:
    """Step sizes dt (s, l, h), the softplus of columns from `first` on, and their decays.

    projected (s, l or shorter, columns); dt is zero in the padding.
    """
    for s in range(dt.shape[0]):
        for t in range(dt.shape[1]):
            for h in range(dt.shape[2]):
                dt[s, t, h] = 0
                if t < projected.shape[1]:
                    raw = projected[s, t, first + h]
                    dt[s, t, h] = math.log1p(math.exp(-abs(raw))) + max(raw, 0)
                before = decay[s, t - 1, h] if t % q else A[h] * 0
                decay[s, t, h] = before + dt[s, t, h] * A[h]


@compiled(any_order=True)
def fading(decay: Any, from_start: Any, to_end: Any) -> None:
    """What lasts from the chunk's begin and until its end, both (g, q, h) as `decay`."""
    lowest = decay.dtype.type(LOWEST_EXPONENT)
    last = decay.shape[1] - 1
    for g in range(decay.shape[0]):
        for t in range(last + 1):
            for h in range(decay.shape[2]):
                from_start[g, t, h] = exp(max(decay[g, t, h], lowest))
                to_end[g, t, h] = exp(max(decay[g, last, h] - decay[g, t, h], lowest))


@compiled(any_order=True)
def scaled(x: Any, factor: Any, p: int, out: Any) -> None:
    """Out (g, q, i) = the first i columns of x (g, q, columns) times factor (g, q, h) by head."""
    for g in range(out.shape[0]):
        for t in range(out.shape[1]):
            for h in range(factor.shape[2]):
                row, wide = out[g, t, h * p : (h + 1) * p], x[g, t, h * p : (h + 1) * p]
                by = factor[g, t, h]
                for j in range(p):  # of a slice: an index that may be negative is slow
                    row[j] = wide[j] * by


@compiled(any_order=True)
def mix(decay: Any, overlap: Any, mixing: Any) -> None:
    """Mixing (g, h, q, q) = decay from j to i times overlap (g, q, q) for j <= i, else zero."""
    lowest = decay.dtype.type(LOWEST_EXPONENT)
    chunks, heads, q, _ = mixing.shape
    line = np.empty(q, decay.dtype)
    for g in range(chunks):
        for h in range(heads):
            line[:] = decay[g, :, h]
            for i in range(q):
                row, shared, now = mixing[g, h, i], overlap[g, i], line[i]
                for j in range(i + 1):
                    row[j] = exp(max(now - line[j], lowest)) * shared[j]
                row[i + 1 :] = 0


@compiled(any_order=True)
def mix_backward(decay: Any, overlap: Any, mixing: Any, g_overlap: Any) -> None:
    """The gradient of mixing (g, h, q, q) becomes mixing; g_overlap (g, q, q) is filled."""
    lowest = decay.dtype.type(LOWEST_EXPONENT)
    chunks, heads, q, _ = mixing.shape
    line = np.empty(q, decay.dtype)
    for g in range(chunks):
        g_overlap[g] = 0
        for h in range(heads):
            line[:] = decay[g, :, h]
            for i in range(q):
                row, shared, g_shared = mixing[g, h, i], overlap[g, i], g_overlap[g, i]
                now = line[i]
                for j in range(i + 1):
                    kernel = exp(max(now - line[j], lowest))
                    g_shared[j] += row[j] * kernel
                    row[j] = kernel * shared[j]
                row[i + 1 :] = 0


@compiled(any_order=True)
def carry(from_start: Any, states: Any) -> None:
    """From what each chunk adds, at 1 to c of states (s, c + 1, n, i), to the states themselves."""
    sequences, ends, n, width = states.shape
    heads = from_start.shape[3]
    p = width // heads
    for s in range(sequences):
        for k in range(ends - 1):
            for m in range(n):
                for h in range(heads):
                    head = slice(h * p, (h + 1) * p)
                    now, after = states[s, k, m][head], states[s, k + 1, m][head]
                    whole = from_start[s, k, -1, h]
                    for j in range(p):
                        after[j] += whole * now[j]


@compiled(any_order=True)
def carry_backward(from_start: Any, states: Any, g_states: Any, passed_on: Any) -> None:
    """Back over the chunks; g_states (s, c + 1, n, i) holds what was read from each state.

    passed_on (s, c, h) is filled with what the final state of a chunk gives to its decay.
    """
    sequences, ends, n, width = states.shape
    heads = from_start.shape[3]
    p = width // heads
    for s in range(sequences):
        for k in range(ends - 2, -1, -1):
            passed_on[s, k] = 0
            for m in range(n):
                for h in range(heads):
                    head = slice(h * p, (h + 1) * p)
                    after = states[s, k + 1, m][head]
                    g_now, g_after = g_states[s, k, m][head], g_states[s, k + 1, m][head]
                    whole = from_start[s, k, -1, h]
                    total = whole * 0
                    for j in range(p):
                        total += g_after[j] * after[j]
                        g_now[j] += whole * g_after[j]
                    passed_on[s, k, h] += total


@compiled(any_order=True)
def collect(
    convolved: Any,
    dt: Any,
    to_end: Any,
    skip: Any,
    y: Any,
    g_y: Any,
    gu_end: Any,
    gu: Any,
    g_convolved: Any,
    g_dt: Any,
    g_decay: Any,
) -> None:
    """Gradient of x, the first i columns of g_convolved, and those of dt and decay (g, q, h).

    gu (g, q, i) came from inside the chunk, gu_end, before `to_end`, through its final state.
    """
    heads = dt.shape[2]
    p = y.shape[2] // heads
    for g in range(dt.shape[0]):
        for t in range(dt.shape[1]):
            for h in range(heads):
                head = slice(h * p, (h + 1) * p)
                x, g_x, through = convolved[g, t][head], g_convolved[g, t][head], skip[head]
                row, g_row = y[g, t][head], g_y[g, t][head]
                inside, at_end = gu[g, t][head], gu_end[g, t][head]
                size, lasts = dt[g, t, h], to_end[g, t, h]
                along, told = size * 0, size * 0
                for j in range(p):
                    value = inside[j] + lasts * at_end[j]
                    g_x[j] = size * value + through[j] * g_row[j]
                    along += x[j] * value
                    told += g_row[j] * row[j]
                g_dt[g, t, h] = along
                g_decay[g, t, h] = told - along * size


@compiled(any_order=True)
def steps_backward(
    dt: Any,
    A: Any,
    passed_on: Any,
    g_dt: Any,
    g_decay: Any,
    q: int,
    first: int,
    g_projected: Any,
    g_A: Any,
) -> None:
    """Gradients of `steps`: columns of g_projected from `first` on are filled, g_A is summed."""
    time = g_projected.shape[1]
    for s in range(dt.shape[0]):
        for h in range(dt.shape[2]):
            later = A[h] * 0
            for t in range(dt.shape[1] - 1, -1, -1):
                if t % q == q - 1:
                    later = passed_on[s, t // q, h]
                later += g_decay[s, t, h]  # a step's decay is in all later sums of the chunk
                g_A[h] += later * dt[s, t, h]
                if t < time:
                    slope = -math.expm1(-dt[s, t, h])  # of softplus
                    g_projected[s, t, first + h] = (g_dt[s, t, h] + later * A[h]) * slope
