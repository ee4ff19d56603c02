"""A block of sequences through the mixer and back: matrix products, and the loops between them.

Letters: s sequences of l bins, l' bins in whole chunks, d width of the layer, i inner width, h
heads of p channels, n state, c chunks of a sequence, q bins of a chunk, g = s c, u = dt x.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from realm.nn.compiled import chunks
from realm.nn.compiled.conv import convolve, convolve_backward
from realm.nn.compiled.norm import gate_and_norm, gate_and_norm_backward
from realm.nn.norms import EPSILON

Array = NDArray[np.floating]


class Parameters(NamedTuple):
    """What a mixer knows, as tensors or as arrays; k taps."""

    project: Any  # (2 i + 2 n + h, d): gate, convolved channels, steps
    project_bias: Any  # (2 i + 2 n + h,)
    taps: Any  # (k, i + 2 n)
    bias: Any  # (i + 2 n,) before SiLU
    shift: Any  # (i + 2 n,) after SiLU: the biases of B and C
    A: Any  # (h,), negative
    skip: Any  # (i,)
    weight: Any  # (i,) of the norm
    out: Any  # (d, i)


class Kept(NamedTuple):
    """What the backward pass needs, beginning with the inputs of the forward pass."""

    x: Array  # (s, l, d)
    past: Array  # (s, k - 1, i + 2 n)
    states: Array  # (s, c + 1, n, i), before the first chunk and after every one
    projected: Array  # (s, l, 2 i + 2 n + h)
    convolved: Array  # (s, l', i + 2 n)
    dt: Array  # (s, l', h)
    decay: Array  # (s, l', h), since the chunk began
    y: Array  # (s, l', i)
    scale: Array  # (s, l), one over the root mean square before the norm

    def rows(self, block: slice) -> Kept:
        """The part of some sequences."""
        return Kept(*(array[block] for array in self))

    @property
    def heads(self) -> int:
        """State space heads."""
        return int(self.dt.shape[2])

    @property
    def headdim(self) -> int:
        """Channels of a head."""
        return int(self.y.shape[2]) // self.heads

    def in_chunks(self, array: Array) -> Array:
        """(s, l', any) as (s, c, q, any)."""
        return array.reshape(len(array), self.states.shape[1] - 1, -1, array.shape[2])

    def in_row(self, array: Array) -> Array:
        """(s, l', any) as (g, q, any)."""
        cut = self.in_chunks(array)
        return cut.reshape(-1, *cut.shape[2:])

    def by_head(self, array: Array) -> Array:
        """(s, l', i) as (g, h, q, p)."""
        row = self.in_row(array)
        return row.reshape(*row.shape[:2], self.heads, -1).swapaxes(1, 2)

    def ways(self, array: Array) -> tuple[Array, Array]:
        """The columns of B and of C, (s, c, q, n), of an array like `convolved`."""
        cut, inner, n = self.in_chunks(array), self.y.shape[2], self.states.shape[2]
        return cut[..., inner : inner + n], cut[..., inner + n :]


class Given(NamedTuple):
    """Gradients of what goes through a block, or of what comes out of it."""

    x: Array  # (s, l, d)
    past: Array  # (s, k - 1, i + 2 n)
    state: Array  # (s, n, i)

    def rows(self, block: slice) -> Given:
        """The part of some sequences."""
        return Given(*(array[block] for array in self))


class Scratch:
    """Memory that every block uses again: to get it fresh takes longer than the arithmetic."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = dtype
        self._held: dict[str, Array] = {}

    def take(self, name: str, *shape: int) -> Array:
        """An array of this shape that holds anything, the same memory for the same name."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, self._dtype)
        return self._held[name][:size].reshape(shape)

    def like(self, name: str, array: Array) -> Array:
        """As `take`, of the shape of another."""
        return self.take(name, *array.shape)


def forward_block(kept: Kept, known: Parameters, out: Array, scratch: Scratch) -> None:
    """Fill `kept` and `out` (s, l, d)."""
    inner = kept.y.shape[2]
    np.matmul(kept.x, known.project.T, out=kept.projected)
    kept.projected[:] += known.project_bias
    convolve(kept.projected, kept.past, inner, known.taps, known.bias, known.shift, kept.convolved)
    first = kept.projected.shape[2] - kept.heads
    chunk = kept.in_chunks(kept.dt).shape[2]
    chunks.steps(kept.projected, first, known.A, chunk, kept.dt, kept.decay)
    from_start, to_end = _fading(kept, scratch)
    u, spare = scratch.like("u", kept.y), scratch.like("spare", kept.y)
    chunks.scaled(kept.convolved, kept.dt, kept.headdim, u)
    chunks.scaled(u, to_end, kept.headdim, spare)
    B, C = kept.ways(kept.convolved)
    np.matmul(B.swapaxes(2, 3), kept.in_chunks(spare), out=kept.states[:, 1:])
    chunks.carry(kept.in_chunks(from_start), kept.states)
    overlap = _overlap(C, B, scratch)
    mixing = scratch.take("mixing", len(overlap), kept.heads, *overlap.shape[1:])
    chunks.mix(kept.in_row(kept.decay), overlap, mixing)
    np.matmul(mixing, kept.by_head(u), out=kept.by_head(kept.y))
    np.matmul(C, kept.states[:, :-1], out=kept.in_chunks(spare))
    normed = scratch.take("normed", *kept.scale.shape, inner)
    gate_and_norm(
        kept.y,
        spare,
        from_start,
        kept.convolved,
        kept.projected,
        known.skip,
        known.weight,
        kept.y.dtype.type(EPSILON),
        kept.scale,
        normed,
    )
    np.matmul(normed, known.out.T, out=out)


def backward_block(
    kept: Kept,
    known: Parameters,
    given: Given,
    wanted: Given,
    g_known: Parameters,
    scratch: Scratch,
) -> None:
    """Fill `wanted`, the gradients of what came in, from those of what went out.

    Those of the parameters are summed into `g_known`.
    """
    time, inner = kept.x.shape[1], kept.y.shape[2]
    g_projected, g_y = scratch.like("g_projected", kept.projected), scratch.like("g_y", kept.y)
    normed = scratch.take("normed", *kept.scale.shape, inner)
    g_normed = np.matmul(given.x, known.out, out=scratch.like("g_normed", normed))
    gate_and_norm_backward(
        kept.y,
        kept.convolved,
        kept.projected,
        known.skip,
        known.weight,
        kept.scale,
        g_normed,
        g_y,
        g_projected,
        g_known.skip,
        g_known.weight,
        normed,
    )
    _add_product(g_known.out, given.x, normed, scratch)
    g_convolved = scratch.like("g_convolved", kept.convolved)
    _backward_through_state(
        kept, known, g_y, given, wanted, g_convolved, g_projected, g_known, scratch
    )
    convolve_backward(
        kept.projected,
        kept.past,
        inner,
        known.taps,
        known.bias,
        g_convolved,
        g_projected,
        wanted.past,
        g_known.taps,
        g_known.bias,
    )
    g_known.shift[inner:] += g_convolved[:, :time, inner:].sum((0, 1))
    heard, channels = given.past.shape[1:]
    g_projected[:, time - heard :, inner : inner + channels] += given.past
    _add_product(g_known.project, g_projected, kept.x, scratch)
    g_known.project_bias[:] += g_projected.sum((0, 1))
    np.matmul(g_projected, known.project, out=wanted.x)


def _backward_through_state(
    kept: Kept,
    known: Parameters,
    g_y: Array,
    given: Given,
    wanted: Given,
    g_convolved: Array,
    g_projected: Array,
    g_known: Parameters,
    scratch: Scratch,
) -> None:
    """Fill the gradients of the convolved channels, of the first state and of the steps."""
    from_start, to_end = _fading(kept, scratch)
    u, spare = scratch.like("u", kept.y), scratch.like("spare", kept.y)
    cut = kept.in_chunks(spare)
    (B, C), (gB, gC) = kept.ways(kept.convolved), kept.ways(g_convolved)
    chunks.scaled(kept.convolved, kept.dt, kept.headdim, u)

    # 1. Through what the chunk's first state gave, and back over the chunks.
    chunks.scaled(g_y, from_start, kept.headdim, spare)
    g_states = scratch.like("g_states", kept.states)
    g_states[:, -1] = given.state
    np.matmul(C.swapaxes(2, 3), cut, out=g_states[:, :-1])
    np.matmul(cut, kept.states[:, :-1].swapaxes(2, 3), out=gC)
    passed_on = scratch.take("passed_on", *kept.states[:, 1:].shape[:2], kept.heads)
    chunks.carry_backward(kept.in_chunks(from_start), kept.states, g_states, passed_on)
    wanted.state[:] = g_states[:, 0]

    # 2. Through what the chunk gave to its final state.
    chunks.scaled(u, to_end, kept.headdim, spare)
    np.matmul(cut, g_states[:, 1:].swapaxes(2, 3), out=gB)
    np.matmul(B, g_states[:, 1:], out=cut)

    # 3. Inside the chunk.
    overlap, g_inside = _overlap(C, B, scratch), kept.by_head(g_y)
    mixing = scratch.take("mixing", len(overlap), kept.heads, *overlap.shape[1:])
    np.matmul(g_inside, kept.by_head(u).swapaxes(2, 3), out=mixing)
    g_overlap = scratch.like("g_overlap", overlap)
    chunks.mix_backward(kept.in_row(kept.decay), overlap, mixing, g_overlap)
    shared = g_overlap.reshape(*cut.shape[:3], -1)
    gC += np.matmul(shared, B)
    gB += np.matmul(shared.swapaxes(2, 3), C)
    np.matmul(mixing.swapaxes(2, 3), g_inside, out=kept.by_head(u))  # now the gradient of u

    # 4. u = dt x, and the decays.
    g_dt, g_decay = scratch.like("g_dt", kept.dt), scratch.like("g_decay", kept.dt)
    chunks.collect(
        kept.convolved,
        kept.dt,
        to_end,
        known.skip,
        kept.y,
        g_y,
        spare,
        u,
        g_convolved,
        g_dt,
        g_decay,
    )
    first, q = g_projected.shape[2] - kept.heads, overlap.shape[2]
    chunks.steps_backward(
        kept.dt, known.A, passed_on, g_dt, g_decay, q, first, g_projected, g_known.A
    )


def _fading(kept: Kept, scratch: Scratch) -> tuple[Array, Array]:
    from_start = scratch.like("from_start", kept.dt)
    to_end = scratch.like("to_end", kept.dt)
    chunks.fading(*(kept.in_row(array) for array in (kept.decay, from_start, to_end)))
    return from_start, to_end


def _overlap(C: Array, B: Array, scratch: Scratch) -> Array:
    """C_i . B_j (g, q, q) of all chunks."""
    sequences, n_chunks, q, _ = B.shape
    overlap = scratch.take("overlap", sequences, n_chunks, q, q)
    return np.matmul(C, B.swapaxes(2, 3), out=overlap).reshape(-1, q, q)


def _add_product(total: Array, left: Array, right: Array, scratch: Scratch) -> None:
    """Add left (s, l, any) transposed, times right (s, l, any), summed over all bins."""
    flat = left.reshape(-1, left.shape[2]), right.reshape(-1, right.shape[2])
    total += np.matmul(flat[0].T, flat[1], out=scratch.like("product", total))
