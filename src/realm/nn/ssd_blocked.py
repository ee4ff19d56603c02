"""The chunked SSD with a gradient written by hand, the fast path on a CPU.

What makes it fast, in order of gain: exponents are clamped before `exp`; the causal mask is put
once on C B^T, which all heads share; what comes from inside a chunk and what comes from its first
state are one matrix product; the batch is worked through in blocks that stay in the cache; and
the backward pass computes the (q, q) kernels again instead of keeping them.

Letters as in `ssd.py`, and in addition g = chunks of all sequences of a block, u = dt * x, and
`decay` = the sum of dt * A since the chunk began. The gradient of `decay` needs no sum over the
kernels: scaling the decay at t scales all that y[t] reads and divides all that u[t] gives, so it
is gy[t] . y[t] - u[t] . du[t], plus at a chunk's end what its final state passes on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from realm.nn.blocks import blocks_of_rows

LOWEST_EXPONENT = -60.0


def causal_ones(q: int, like: Tensor) -> Tensor:
    """Return the (q, q) matrix of ones on and below the diagonal."""
    return torch.ones(q, q, dtype=like.dtype, device=like.device).tril_()


def blocked_ssd(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, q: int
) -> tuple[Tensor, Tensor]:
    """Return y and the final state as `ssd` does, for a length that `q` divides, on a CPU."""
    y, final = _BlockedSSD.apply(x, dt, A, B, C, state, q)  # type: ignore[no-untyped-call]
    return y, final


class _BlockedSSD(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, q: int
    ) -> tuple[Tensor, Tensor]:
        """Compute all blocks and keep the states between the chunks for the backward pass."""
        b, length, h, p = x.shape
        n = B.shape[-1]
        y = x.new_empty(x.shape)
        states = x.new_empty(b, length // q + 1, n, h, p)  # before every chunk, and after the last
        states[:, 0] = state.permute(0, 3, 1, 2)
        for block in _blocks(x, n, q):
            _forward_block(
                _cut(x[block], dt[block], A, B[block], C[block], q), states[block], y[block]
            )
        ctx.save_for_backward(x, dt, A, B, C, states, y)
        ctx.q = q
        return y, states[:, -1].permute(0, 2, 3, 1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor, g_final: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of all blocks, from the last chunk to the first."""
        x, dt, A, B, C, states, y = ctx.saved_tensors
        grad = _Gradients(
            x=x.new_empty(x.shape),
            dt=x.new_empty(dt.shape),
            A=torch.zeros_like(A),
            B=x.new_empty(B.shape),
            C=x.new_empty(C.shape),
            state=x.new_empty(x.shape[0], *states.shape[2:]),
        )
        gy, g_final = gy.contiguous(), g_final.permute(0, 3, 1, 2)
        for block in _blocks(x, B.shape[-1], ctx.q):
            cut = _cut(x[block], dt[block], A, B[block], C[block], ctx.q)
            _backward_block(
                cut, A, states[block], y[block], gy[block], g_final[block], grad.block(block)
            )
        return grad.x, grad.dt, grad.A, grad.B, grad.C, grad.state.permute(0, 2, 3, 1), None


class _Gradients(NamedTuple):
    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    state: Tensor  # (b, n, h, p)

    def block(self, block: slice) -> _Gradients:
        """Return views of the rows of one block; A is shared and summed into."""
        x, dt, A, B, C, state = self
        return _Gradients(x[block], dt[block], A, B[block], C[block], state[block])


class _Cut(NamedTuple):
    """One block of sequences cut into chunks, with the decays that both passes need."""

    x: Tensor  # (g, q, h, p)
    dt: Tensor  # (g, q, h)
    B: Tensor  # (g, q, n)
    C: Tensor  # (g, q, n)
    u: Tensor  # (g, h, q, p) dt * x, by head
    kernel: Tensor  # (g, h, q, q) decay from j to i; ones above the diagonal
    overlap: Tensor  # (g, q, q) C_i . B_j for j <= i, else zero
    from_start: Tensor  # (g, q, h) decay of the chunk's first state
    to_end: Tensor  # (g, q, h) decay until the chunk ends


def _blocks(x: Tensor, n: int, q: int) -> list[slice]:
    _, length, h, p = x.shape
    per_sequence = length * h * max(q, p, n) * x.element_size()
    return blocks_of_rows(x, per_sequence)


def _cut(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, q: int) -> _Cut:
    b, length, h, p = x.shape
    g, n = b * length // q, B.shape[-1]
    x, dt = x.reshape(g, q, h, p), dt.reshape(g, q, h)
    B, C = B.reshape(g, q, n), C.reshape(g, q, n)
    decay = (dt * A).cumsum(1)  # (g, q, h)
    by_head = decay.transpose(1, 2).contiguous()  # (g, h, q)
    kernel = by_head[..., :, None] - by_head[..., None, :]
    kernel.clamp_(LOWEST_EXPONENT, 0).exp_()
    u = torch.empty(g, h, q, p, dtype=x.dtype)
    torch.mul(x.transpose(1, 2), dt.transpose(1, 2)[..., None], out=u)
    overlap = torch.bmm(C, B.transpose(1, 2)).mul_(causal_ones(q, x))
    to_end = (decay[:, -1:] - decay).clamp_(LOWEST_EXPONENT, 0).exp_()
    return _Cut(x, dt, B, C, u, kernel, overlap, decay.clamp(min=LOWEST_EXPONENT).exp_(), to_end)


def _forward_block(cut: _Cut, states: Tensor, y: Tensor) -> None:
    """Fill `states` after its first chunk, and `y`."""
    b, c, n, h, p = states[:, 1:].shape
    g, q = b * c, cut.x.shape[1]
    kept = cut.x * (cut.to_end * cut.dt)[..., None]  # (g, q, h, p) what lasts to the chunk's end
    added = torch.bmm(cut.B.transpose(1, 2), kept.view(g, q, h * p)).view(b, c, n, h, p)
    whole = cut.from_start[:, -1].view(b, c, 1, h, 1)
    for k in range(c):
        torch.addcmul(added[:, k], states[:, k], whole[:, k], out=states[:, k + 1])

    left = torch.empty(g, h, q, q + n, dtype=y.dtype)  # [kernel * overlap | decayed C]
    torch.mul(cut.kernel, cut.overlap[:, None], out=left[..., :q])
    torch.mul(cut.C[:, None], cut.from_start.transpose(1, 2)[..., None], out=left[..., q:])
    right = torch.empty(g, h, q + n, p, dtype=y.dtype)  # [u ; first state of the chunk]
    right[:, :, :q] = cut.u
    right.view(b, c, h, q + n, p)[..., q:, :] = states[:, :c].transpose(2, 3)
    by_head = torch.bmm(left.view(g * h, q, q + n), right.view(g * h, q + n, p))
    y.view(g, q, h, p).copy_(by_head.view(g, h, q, p).transpose(1, 2))


def _backward_block(
    cut: _Cut, A: Tensor, states: Tensor, y: Tensor, gy: Tensor, g_final: Tensor, grad: _Gradients
) -> None:
    """Fill the gradients of one block; `g_final` is that of its final states, (b, n, h, p)."""
    b, c, n, h, p = states[:, 1:].shape
    g, q = b * c, cut.x.shape[1]
    gy = gy.view(g, q, h, p)
    wide = (g, q, h * p)

    # 1. Through what the chunk's first state gave: C, and that state.
    gy_start = (gy * cut.from_start[..., None]).view(wide)
    read = torch.bmm(cut.C.transpose(1, 2), gy_start).view(b, c, n, h, p)
    gC = torch.bmm(gy_start, states[:, :c].reshape(g, n, h * p).transpose(1, 2))

    # 2. Back over the chunks: gradients of the states at the chunks' ends.
    whole = cut.from_start[:, -1].view(b, c, 1, h, 1)
    g_end = torch.empty_like(read)
    g_end[:, c - 1] = g_final
    for k in range(c - 1, 0, -1):
        torch.addcmul(read[:, k], g_end[:, k], whole[:, k], out=g_end[:, k - 1])
    torch.addcmul(read[:, 0], g_end[:, 0], whole[:, 0], out=grad.state)
    passed_on = (states[:, 1:] * g_end).sum((2, 4)).view(g, h)

    # 3. Through what the chunk gave to its final state: B, and u.
    ends = g_end.view(g, n, h * p)
    kept = torch.mul(cut.x, (cut.to_end * cut.dt)[..., None], out=gy_start.view(g, q, h, p))
    gB = torch.bmm(kept.view(wide), ends.transpose(1, 2))
    gu = torch.bmm(cut.B, ends).view(g, q, h, p).mul_(cut.to_end[..., None])

    # 4. Inside the chunk: y = (kernel * overlap) u.
    gy_by_head = gy.transpose(1, 2).reshape(g * h, q, p)
    g_mixing = torch.bmm(gy_by_head, cut.u.view(g * h, q, p).transpose(1, 2)).view(g, h, q, q)
    g_overlap = g_mixing.mul_(cut.kernel).sum(1).mul_(causal_ones(q, y))
    torch.baddbmm(gC, g_overlap, cut.B, out=grad.C.view(g, q, n))
    torch.baddbmm(gB, g_overlap.transpose(1, 2), cut.C, out=grad.B.view(g, q, n))
    mixing = cut.kernel.mul_(cut.overlap[:, None]).view(g * h, q, q)
    gu.add_(torch.bmm(mixing.transpose(1, 2), gy_by_head).view(g, h, q, p).transpose(1, 2))

    # 5. u = dt x, and the decays.
    torch.mul(gu, cut.dt[..., None], out=grad.x.view(g, q, h, p))
    g_dt = (cut.x * gu).sum(-1)  # (g, q, h)
    g_decay = (gy * y.view(g, q, h, p)).sum(-1).sub_(g_dt * cut.dt)
    g_decay[:, -1] += passed_on
    g_step = g_decay.flip(1).cumsum(1).flip(1)  # a step's decay is in all later sums of the chunk
    torch.addcmul(g_dt, g_step, A, out=grad.dt.view(g, q, h))
    grad.A.add_((g_step * cut.dt).sum((0, 1)))
