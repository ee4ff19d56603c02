"""The student's step as one compiled loop, float32: what runs on the rig.

The same arithmetic as `student.py`, in another order of sums. Matrices are (in, out), so that a
matrix-vector product is a sum of contiguous rows, which compiles to vector instructions; eight
rows go at once, so that the output is read and written an eighth as often. Nothing is allocated
while bins are decoded.

Importing this module needs numba and compiles the loop, or reads what was compiled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.compiling import behaved, compiled
from realm.streaming.packed import Packed
from realm.streaming.student import EPSILON, LOWEST_EXPONENT, NEGLIGIBLE, PlainStudent, StudentState

f32 = np.float32
i32 = np.int32
ONE, ZERO, HALF, EPS = f32(1), f32(0), f32(0.5), f32(EPSILON)
TINY, LOWEST = f32(NEGLIGIBLE), f32(LOWEST_EXPONENT)
LOG2_E = f32(1 / math.log(2))
LN2_HIGH = f32(355 / 512)  # few bits, so that k * LN2_HIGH is exact
LN2_LOW = f32(math.log(2) - 355 / 512)
WEIGHTS = (
    "adapter",
    "adapter_bias",
    "project",
    "project_bias",
    "conv",
    "conv_bias",
    "into",
    "decay",
    "skip",
    "out",
    "head",
    "head_bias",
)


@compiled(any_order=True, inline=True)
def exp(x: Any) -> Any:
    """e^x to about one part in 10^7: 2^k times a Taylor series over half an octave."""
    x = min(max(x, f32(-87)), f32(88))
    k = np.floor(x * LOG2_E + HALF)
    r = x - k * LN2_HIGH - k * LN2_LOW
    p = f32(1 / 5040) * r + f32(1 / 720)
    p = p * r + f32(1 / 120)
    p = p * r + f32(1 / 24)
    p = p * r + f32(1 / 6)
    p = p * r + HALF
    p = p * r + ONE
    p = p * r + ONE
    return p * i32((i32(k) + i32(127)) << i32(23)).view(np.float32)


@compiled(any_order=True, inline=True)
def silu(x: Any) -> Any:
    """X times its logistic function."""
    return x / (ONE + exp(-x))


@compiled(any_order=True)
def project(x: Any, matrix: Any, out: Any) -> None:
    """Add x (in,) times matrix (in, out) to out (out,)."""
    rows, columns = matrix.shape
    k = 0
    while k + 8 <= rows:
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        x4, x5, x6, x7 = x[k + 4], x[k + 5], x[k + 6], x[k + 7]
        m0, m1, m2, m3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        m4, m5, m6, m7 = matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7]
        for j in range(columns):
            first = (x0 * m0[j] + x1 * m1[j]) + (x2 * m2[j] + x3 * m3[j])
            out[j] += first + ((x4 * m4[j] + x5 * m5[j]) + (x6 * m6[j] + x7 * m7[j]))
        k += 8
    while k < rows:
        xk, mk = x[k], matrix[k]
        for j in range(columns):
            out[j] += xk * mk[j]
        k += 1


@compiled(any_order=True)
def rms_norm(x: Any, out: Any) -> None:
    """Divide by the root mean square."""
    total = ZERO
    for j in range(x.size):
        total += x[j] * x[j]
    scale = ONE / np.sqrt(total / f32(x.size) + EPS)
    for j in range(x.size):
        out[j] = x[j] * scale


@compiled(any_order=True)
def convolve(now: Any, past: Any, taps: Any, bias: Any, out: Any) -> None:
    """Causal convolution and SiLU of one bin; `past` moves on by it."""
    last = past.shape[0]
    for j in range(now.size):
        out[j] = bias[j] + taps[last, j] * now[j]
    for k in range(last):
        old, tap = past[k], taps[k]
        for j in range(now.size):
            out[j] += old[j] * tap[j]
        new = now if k + 1 == last else past[k + 1]
        for j in range(now.size):
            old[j] = new[j]
    for j in range(now.size):
        out[j] = silu(out[j])


@compiled(any_order=True)
def update_state(
    inner: Any, dt: Any, decay: Any, skip: Any, B: Any, C: Any, ssm: Any, y: Any
) -> None:
    """Move the state space (I, N) on by one bin and read it; step sizes before softplus."""
    heads, n = dt.size, B.size
    width = inner.size // heads
    for head in range(heads):
        raw = dt[head]
        size = f32(math.log1p(math.exp(-abs(raw)))) + max(raw, ZERO)
        keep = f32(math.exp(max(size * decay[head], LOWEST)))
        for channel in range(head * width, (head + 1) * width):
            row, given, read = ssm[channel], inner[channel] * size, ZERO
            for j in range(n):
                value = row[j] * keep + given * B[j]
                value = ZERO if abs(value) < TINY else value
                row[j] = value
                read += value * C[j]
            y[channel] = read + skip[head] * inner[channel]


@compiled(any_order=True, inline=True)
def take(buffer: Any, begin: Any, shape: Any) -> Any:
    """An array of this shape from this place of the buffer on, and the place after it."""
    size = 1
    for length in shape:
        size *= length
    return buffer[begin : begin + size].reshape(shape), begin + size


@compiled(
    "void(float32[:, ::1], float32[::1], int64[::1], float32[:, :, ::1], float32[:, :, ::1], "
    "float32[::1], float32[:, ::1])",
    any_order=True,
)
def decode(
    features: Any, weights: Any, sizes: Any, past: Any, ssm: Any, scratch: Any, out: Any
) -> None:
    """Decode features (bins, F) into `out` (bins, D); `past` and `ssm` are written over.

    A call costs by the array, so the weights lie in one buffer, in the order of `WEIGHTS`, and so
    do the vectors that a bin needs; `sizes` are F, M, H, N and I.
    """
    F, M, H, N, width = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    L, K, D = past.shape[0], past.shape[1] + 1, out.shape[1]
    mixes = width + 2 * N
    ends = width + mixes
    at = 0
    adapter, at = take(weights, at, (F, M))
    adapter_bias, at = take(weights, at, (M,))
    projection, at = take(weights, at, (L, M, ends + H))
    projection_bias, at = take(weights, at, (L, ends + H))
    conv, at = take(weights, at, (L, K, mixes))
    conv_bias, at = take(weights, at, (L, mixes))
    into, at = take(weights, at, (L, 2, N))
    decay, at = take(weights, at, (L, H))
    skip, at = take(weights, at, (L, H))
    out_matrix, at = take(weights, at, (L, width, M))
    head, at = take(weights, at, (M, D))
    head_bias, at = take(weights, at, (D,))
    x, at = take(scratch, 0, (M,))
    unit, at = take(scratch, at, (M,))
    wide, at = take(scratch, at, (ends + H,))
    mixed, at = take(scratch, at, (mixes,))
    y, at = take(scratch, at, (width,))
    for b in range(features.shape[0]):
        x[:] = adapter_bias
        project(features[b], adapter, x)
        for layer in range(L):
            rms_norm(x, unit)
            wide[:] = projection_bias[layer]
            project(unit, projection[layer], wide)
            convolve(wide[width:ends], past[layer], conv[layer], conv_bias[layer], mixed)
            B, C = mixed[width : width + N], mixed[width + N :]
            for j in range(N):
                B[j] += into[layer, 0, j]
                C[j] += into[layer, 1, j]
            update_state(mixed[:width], wide[ends:], decay[layer], skip[layer], B, C, ssm[layer], y)
            for j in range(width):
                y[j] *= silu(wide[j])
            rms_norm(y, y)
            project(y, out_matrix[layer], x)
        row = out[b]
        row[:] = head_bias
        project(x, head, row)
        finite = True
        for j in range(row.size):
            finite = finite and np.isfinite(row[j])
        if not finite:
            row[:] = np.nan
            past[:] = ZERO
            ssm[:] = ZERO


class FusedStudent(PlainStudent):
    """As `PlainStudent`, compiled; float32 only."""

    engine = "numba"

    def __init__(self, packed: Packed) -> None:
        assert packed.dtype == np.float32, packed.dtype
        super().__init__(packed)
        s = packed.sizes
        self._weights = np.concatenate([getattr(packed, name).ravel() for name in WEIGHTS])
        sizes = [s.features, s.d_model, s.heads, s.d_state, s.d_inner]
        self._sizes = np.array(sizes, dtype=np.int64)
        self._scratch = 2 * s.d_model + s.projected + s.convolved + s.d_inner

    def step(
        self, features: NDArray[np.floating], state: StudentState
    ) -> tuple[NDArray[np.floating], StudentState]:
        """Decode a chunk of any number of bins; as `PlainStudent.step`."""
        out = self._out(len(features))
        if not len(features):
            return out, state
        after = StudentState(state.conv.copy(), state.ssm.copy())
        self.advance(behaved(np.asarray(features, f32)), after, self.scratch(), out)
        return out, after

    def scratch(self) -> NDArray[np.float32]:
        """A buffer for `advance`, for one thread; what it holds means nothing."""
        return np.empty(self._scratch, f32)

    def advance(
        self,
        features: NDArray[np.float32],
        state: StudentState,
        scratch: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Decode into `out`, writing over `state`, with nothing allocated: the core of `step`."""
        run: Any = decode
        run(features, self._weights, self._sizes, state.conv, state.ssm, scratch, out)

    def _out(self, bins: int) -> NDArray[np.float32]:
        return np.empty((bins, self.packed.sizes.behavior), f32)
