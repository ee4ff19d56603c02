"""The student's step in numpy: the definition that every faster one is tested against.

Each bin is computed by itself, whatever the chunk, so that cutting a stream differently changes
no bit. State passed in is never changed.

Letters as in the paper: B into and C out of the state, A decay, dt step. Source: Dao and Gu,
"Transformers are SSMs", 2024, the recurrent form of section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.streaming.packed import Packed

EPSILON = 1e-5  # of the norms
LOWEST_EXPONENT = -60.0  # a decay below e^-60 forgets all
NEGLIGIBLE = 1e-30  # a state below it is set to zero: denormal numbers are slow

Reals = NDArray[np.floating]


class StudentState(NamedTuple):
    """What the student remembers, in the dtype it computes in."""

    conv: Reals  # (layers, K - 1, I + 2N): last inputs of the convolutions, oldest first
    ssm: Reals  # (layers, I, N)


class PlainStudent:
    """Features (bins, F) to behavior (bins, D) in its units, bin by bin, in numpy."""

    engine = "numpy"

    def __init__(self, packed: Packed) -> None:
        self.packed = packed

    def initial_state(self) -> StudentState:
        """Return the state of silence before the first bin."""
        s, dtype = self.packed.sizes, self.packed.dtype
        conv = np.zeros((s.layers, s.conv_kernel - 1, s.convolved), dtype)
        return StudentState(conv, np.zeros((s.layers, s.d_inner, s.d_state), dtype))

    def step(self, features: Reals, state: StudentState) -> tuple[Reals, StudentState]:
        """Decode a chunk of any number of bins.

        Where a result is not finite, which only absurd weights bring about, its row is NaN and
        the state starts again from silence.
        """
        out = np.empty((len(features), self.packed.sizes.behavior), self.packed.dtype)
        after = StudentState(state.conv.copy(), state.ssm.copy())
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for row, bin_ in zip(out, features.astype(self.packed.dtype), strict=True):
                row[:] = self._bin(bin_, after)
                if not np.isfinite(row).all():
                    row[:] = np.nan
                    after.conv[:], after.ssm[:] = 0, 0
        return out, after

    def _bin(self, features: Reals, state: StudentState) -> Reals:
        """One bin; `state` is a copy that belongs to this step and is written over."""
        p = self.packed
        x = features @ p.adapter + p.adapter_bias  # (M,)
        for layer in range(p.sizes.layers):
            x = x + self._mixer(layer, x, state.conv[layer], state.ssm[layer])
        behavior: Reals = x @ p.head + p.head_bias
        return behavior

    def _mixer(self, layer: int, x: Reals, conv: Reals, ssm: Reals) -> Reals:
        p, s = self.packed, self.packed.sizes
        projected = _normed(x) @ p.project[layer] + p.project_bias[layer]
        gate, now, dt = np.split(projected, [s.d_inner, s.d_inner + s.convolved])
        recent = np.concatenate([conv, now[None]])  # (K, I + 2N)
        conv[:] = recent[1:]
        convolved = _silu((recent * p.conv[layer]).sum(0) + p.conv_bias[layer])
        inner, B, C = np.split(convolved, [s.d_inner, s.d_inner + s.d_state])
        B, C = B + p.into[layer, 0], C + p.into[layer, 1]
        dt = np.log1p(np.exp(-np.abs(dt))) + np.maximum(dt, 0)  # softplus, (H,)
        keep = np.exp(np.maximum(dt * p.decay[layer], p.dtype.type(LOWEST_EXPONENT)))
        by_channel = [np.repeat(each, s.headdim) for each in (keep, dt, p.skip[layer])]
        ssm *= by_channel[0][:, None]
        ssm += (by_channel[1] * inner)[:, None] * B
        ssm[np.abs(ssm) < NEGLIGIBLE] = 0
        y = (ssm @ C + by_channel[2] * inner) * _silu(gate)  # (I,)
        mixed: Reals = _normed(y) @ p.out[layer]
        return mixed


def _normed(x: Reals) -> Reals:
    scaled: Reals = x / np.sqrt(np.mean(x * x) + x.dtype.type(EPSILON))
    return scaled


def _silu(x: Reals) -> Reals:
    opened: Reals = x / (1 + np.exp(-x))
    return opened
