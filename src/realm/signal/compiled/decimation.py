"""The decimating low-pass: every raw sample is added to the few outputs that it takes part in."""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import behaved, compiled
from realm.signal.decimation import Decimation, DecimationState
from realm.signal.stage import Guarded, Raw


@compiled("void(float64[:, ::1], float64[:, ::1], int64, int64, int64, float64[:, ::1])")
def add(x: Any, weights: Any, start: int, stop: int, phase: int, sums: Any) -> None:
    """Add samples of one period, x[start:stop] (samples, channels), to sums (outputs, channels).

    Six samples are taken at once and added one after the other, so that sums run in the order of
    time and are fetched once for six. weights (outputs, period); x[start] stands at `phase`.
    """
    t, i = start, phase
    while t + 6 <= stop:
        x0, x1, x2, x3, x4, x5 = x[t], x[t + 1], x[t + 2], x[t + 3], x[t + 4], x[t + 5]
        for k in range(sums.shape[0]):
            y, w = sums[k], weights[k, i : i + 6]
            w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
            for c in range(y.size):
                first = ((y[c] + w0 * x0[c]) + w1 * x1[c]) + w2 * x2[c]
                y[c] = ((first + w3 * x3[c]) + w4 * x4[c]) + w5 * x5[c]
        t, i = t + 6, i + 6
    while t < stop:
        x0 = x[t]
        for k in range(sums.shape[0]):
            y, w0 = sums[k], weights[k, i]
            for c in range(y.size):
                y[c] = y[c] + w0 * x0[c]
        t, i = t + 1, i + 1


@compiled(
    "void(float64[:, ::1], boolean[:, ::1], float64[:, ::1], int64, float64[:, ::1], int64[::1], "
    "float64[:, ::1], boolean[:, ::1], float64[:, ::1])"
)
def decimate(
    x: Any,
    bad: Any,
    weights: Any,
    phase: int,
    sums: Any,
    replaced: Any,
    samples: Any,
    mostly: Any,
    share: Any,
) -> None:
    """Decimate a chunk that begins at this phase; `sums` and `replaced` are written over."""
    raw, channels = x.shape
    last, factor = sums.shape[0] - 1, weights.shape[1]
    t = 0
    for m in range(samples.shape[0] + 1):
        stop = min(raw, t + factor - phase)
        add(x, weights, t, stop, phase, sums)
        rough = False
        for flag in bad[t:stop].ravel():
            rough |= flag
        for u in range(t, stop if rough else t):
            for c in range(channels):
                replaced[c] += bad[u, c]
        if m < samples.shape[0]:
            for c in range(channels):
                samples[m, c] = sums[0, c]
                share[m, c] = replaced[c] / factor
                mostly[m, c] = share[m, c] >= 0.5
                replaced[c] = 0
            for k in range(last):
                sums[k] = sums[k + 1]
            sums[last] = 0.0
        t, phase = stop, 0


class CompiledDecimation:
    """As `Decimation.step`."""

    def __init__(self, stage: Decimation) -> None:
        self._factor = stage.factor
        # the newest sample of a period comes last and has the youngest tap
        self._weights = stage.padded.reshape(stage.n_open, stage.factor)[:, ::-1].copy()

    def step(self, x: Guarded, state: DecimationState) -> tuple[Guarded, DecimationState]:
        """Decimate one chunk."""
        raw, channels = x.samples.shape
        phase = state.n_samples % self._factor
        shape = ((phase + raw) // self._factor, channels)
        samples, share = np.empty(shape), np.empty(shape)
        mostly = np.empty(shape, dtype=np.bool_)
        sums, replaced = state.sums.copy(), state.replaced.copy()
        decimate(
            behaved(x.samples),
            behaved(x.bad),
            self._weights,
            phase,
            sums,
            replaced,
            samples,
            mostly,
            share,
        )
        after = DecimationState(state.n_samples + raw, sums, replaced)
        return Guarded(samples, mostly, Raw(raw, share)), after
