"""A Mamba-2 mixer from its input to its output, with a gradient by hand: the fastest way to train.

What lies between two matrix products is one loop over memory (`conv.py`, `chunks.py`, `norm.py`),
the projections are one product, and the batch is worked through in blocks that stay in the cache.
Products are numpy's, which take heads and columns of larger arrays as they lie. The plain mixer of
`realm.nn.mamba2` computes the same and is what this one is tested against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.nn.compiled.block import (
    Array,
    Given,
    Kept,
    Parameters,
    Scratch,
    backward_block,
    forward_block,
)

# Size of the largest buffer of a block; a few of them share the cache of a core.
BLOCK_BYTES = 1 << 20


def fused_mixer(
    x: Tensor, past: Tensor, state: Tensor, parameters: Iterable[Tensor], chunk: int = 50
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix x (batch, time, d) on a CPU; time is at least that of `past`.

    past (batch, k - 1, i + 2 n) is what the convolution heard last, state (batch, h, p, n);
    parameters in the order of `Parameters`.
    Returns the output (batch, time, d), and both of these for the next chunk of time.
    """
    out, after, final = _FusedMixer.apply(x, past, state, chunk, *parameters)  # type: ignore[no-untyped-call]
    return out, after, final


def example(
    dtype: torch.dtype, backward: bool
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """Arguments of `fused_mixer` that need every loop: one head of two channels, one state."""
    sizes = ((7, 2), (7,), (2, 4), (4,), (4,), (1,), (2,), (2,), (2, 2))
    x, past, state = (
        torch.zeros(size, dtype=dtype) for size in ((1, 4, 2), (1, 1, 4), (1, 1, 2, 1))
    )
    parameters = (torch.zeros(size, dtype=dtype, requires_grad=backward) for size in sizes)
    return x, past, state, tuple(parameters)


class _FusedMixer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, past: Tensor, state: Tensor, chunk: int, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute all blocks and keep what the backward pass needs."""
        known = Parameters(*(_array(t) for t in parameters))
        kept = _room(_array(x), _array(past), state, chunk, known)
        out = np.empty_like(kept.x)
        scratch = Scratch(out.dtype)
        for block in _blocks(kept):
            forward_block(kept.rows(block), known, out[block], scratch)
        ctx.known, ctx.kept = known, kept
        ctx.save_for_backward(x, past, state, *parameters)  # refuses what was changed in place
        heard, channels = past.shape[1:]
        inner = kept.y.shape[2]
        after = kept.projected[:, x.shape[1] - heard :, inner : inner + channels].copy()
        final = torch.from_numpy(kept.states[:, -1]).view(_by_head(state))
        return torch.from_numpy(out), torch.from_numpy(after), final.permute(0, 2, 3, 1).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor, g_after: Tensor, g_final: Tensor) -> tuple[Any, ...]:
        """Compute the gradients of all blocks."""
        assert ctx.saved_tensors, "expected what the forward pass kept"
        known, kept = ctx.known, ctx.kept
        g_known = Parameters(*(np.zeros_like(array) for array in known))
        g_end = _array(g_final.permute(0, 3, 1, 2).flatten(2))
        given = Given(_array(g_out), _array(g_after), g_end)
        wanted, scratch = Given(*(np.empty_like(a) for a in given)), Scratch(g_end.dtype)
        for block in _blocks(kept):
            rows = kept.rows(block), known, given.rows(block), wanted.rows(block)
            backward_block(*rows, g_known, scratch)
        g_x, g_past, g_state = (torch.from_numpy(array) for array in wanted)
        g_before = g_state.view(_by_head(g_final)).permute(0, 2, 3, 1)
        return g_x, g_past, g_before, None, *map(torch.from_numpy, g_known)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().contiguous().numpy()
    return array


def _by_head(state: Tensor) -> tuple[int, ...]:
    """The shape (b, n, h, p) for a state (b, h, p, n)."""
    b, h, p, n = state.shape
    return b, n, h, p


def _room(x: Array, past: Array, state: Tensor, chunk: int, known: Parameters) -> Kept:
    """Arrays for what is kept; time is cut into equal chunks of at most `chunk` bins."""
    (batch, heads, p, n), time = state.shape, x.shape[1]
    n_chunks = -(-time // chunk)
    padded = n_chunks * -(-time // n_chunks)

    def empty(*shape: int) -> Array:
        return np.empty((batch, *shape), x.dtype)

    states = empty(n_chunks + 1, n, heads * p)
    states[:, 0] = _array(state.permute(0, 3, 1, 2).flatten(2))
    return Kept(
        x,
        past,
        states,
        empty(time, len(known.project)),
        empty(padded, past.shape[2]),
        empty(padded, heads),
        empty(padded, heads),
        empty(padded, heads * p),
        empty(time),
    )


def _blocks(kept: Kept) -> list[slice]:
    """Cut the batch so that a block takes about `BLOCK_BYTES`, and at least one sequence."""
    sequences, time, _ = kept.y.shape
    chunk = time // (kept.states.shape[1] - 1)
    widest = max(kept.projected.shape[2], kept.heads * chunk)
    size = max(1, BLOCK_BYTES // max(time * widest * kept.y.itemsize, 1))
    return [slice(i, min(i + size, sequences)) for i in range(0, sequences, size)]
