"""State space duality (SSD), the sequence operation at the heart of a Mamba-2 layer.

For every head, a state of shape (p, n) forgets at its own rate and takes in the outer product of
the input and B; the output reads the state with C::

    state[t] = exp(dt[t] * A) * state[t - 1] + dt[t] * x[t] B[t]^T
    y[t]     = state[t] C[t]

`ssd` computes it in chunks of matrix products and `ssd_recurrence` one instant at a time, which is
the definition the rest is tested against.

Letters of the paper, used here, in `mamba2.py` and in `compiled` only:
    b batch, l time, h heads, p channels of one head, n size of the state per channel,
    c number of chunks, q instants in a chunk;
    A rate of decay of a head (negative), dt step size, B into the state, C out of the state.

Source: Dao and Gu, "Transformers are SSMs", 2024, sections 6 and 7 (block decomposition of the
semiseparable matrix), with B and C shared by all heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST_EXPONENT = -60.0  # a decay below e^-60 forgets all
# Up to this length the recurrence is cheaper than the set-up of the chunks.
RECURRENT_LENGTH = 4


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    initial_state: Tensor | None = None,
    chunk: int = 50,
    scaled: bool = True,
) -> tuple[Tensor, Tensor]:
    """Run the state space over a whole stretch of time, from one state to the next.

    x (b, l, h, p); dt (b, l, h), positive; A (h,), negative; B and C (b, l, n);
    initial_state (b, h, p, n), None for zeros. Returns y (b, l, h, p) and the final state
    (b, h, p, n). `l` may be anything, zero included; `chunk` is the longest chunk used. Without
    `scaled`, x enters the state as it is, not multiplied by dt.

    All arguments have one dtype; under autocast it is computed in float32. Splitting a stretch in
    two and handing the state over gives the same as the whole, to rounding; y at an instant never
    depends, not by one bit, on finite values of later instants.
    """
    _check_shapes(x, dt, A, B, C, initial_state)
    state = _zeros(x, B) if initial_state is None else initial_state
    if torch.is_autocast_enabled(x.device.type):  # decays need the full precision
        x, dt, A, B, C, state = (t.float() for t in (x, dt, A, B, C, state))
        with torch.autocast(x.device.type, enabled=False):
            return ssd(x, dt, A, B, C, state, chunk, scaled)
    length = x.shape[1]
    if length <= RECURRENT_LENGTH:
        return ssd_recurrence(x, dt, A, B, C, state, scaled)
    n_chunks = -(-length // chunk)
    q = -(-length // n_chunks)  # equal chunks, so that padding is shorter than n_chunks
    padding = n_chunks * q - length
    if padding:  # dt = 0 leaves the state as it is
        x = F.pad(x, (0, 0, 0, 0, 0, padding))
        dt, B, C = (F.pad(t, (0, 0, 0, padding)) for t in (dt, B, C))
    u = x * dt[..., None] if scaled else x
    y, final = _in_chunks(u, dt, A, B, C, state, q)
    return y[:, :length], final


def ssd_recurrence(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    initial_state: Tensor | None = None,
    scaled: bool = True,
) -> tuple[Tensor, Tensor]:
    """Run the definition one instant at a time; arguments and results as in `ssd`."""
    state = _zeros(x, B) if initial_state is None else initial_state
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp((dt[:, t] * A).clamp(min=LOWEST_EXPONENT))  # (b, h)
        u = dt[:, t, :, None] * x[:, t] if scaled else x[:, t]  # (b, h, p)
        state = decay[..., None, None] * state + u[..., None] * B[:, t, None, None]
        outputs.append((state * C[:, t, None, None]).sum(-1))  # (b, h, p)
    y = torch.stack(outputs, dim=1) if outputs else torch.zeros_like(x)
    return y, state


def _in_chunks(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, q: int
) -> tuple[Tensor, Tensor]:
    """Run the chunks: as `ssd`, for a length that `q` divides and inputs u (b, l, h, p).

    Exponents are clamped before `exp`: a decay of less than e^-60 is nothing, and `exp` of very
    negative numbers is slow on a CPU.
    """
    b, length, h, p = u.shape
    n, c = B.shape[-1], length // q
    u = u.reshape(b * c, q, h, p)
    B, C = B.reshape(b * c, q, n), C.reshape(b * c, q, n)
    decay = (dt * A).reshape(b * c, q, h).cumsum(1)  # log decay since the chunk began
    by_head = decay.transpose(1, 2)  # (b c, h, q)

    # 1. Inside a chunk: y_i = sum over j <= i of (C_i . B_j) exp(decay_i - decay_j) u_j.
    overlap = (C @ B.transpose(1, 2)).tril()  # (b c, q, q), shared by the heads
    kernel = (by_head[..., :, None] - by_head[..., None, :]).clamp(LOWEST_EXPONENT, 0).exp()
    y = ((kernel * overlap[:, None]) @ u.transpose(1, 2)).transpose(1, 2)  # (b c, q, h, p)

    # 2. What a chunk adds to the state by its end.
    to_end = (decay[:, -1:] - decay).clamp(LOWEST_EXPONENT, 0).exp()
    added = (B.transpose(1, 2) @ (u * to_end[..., None]).flatten(2)).view(b, c, n, h, p)

    # 3. The state from chunk to chunk.
    whole = decay[:, -1].clamp(min=LOWEST_EXPONENT).exp().view(b, c, 1, h, 1)
    running, starts = state.permute(0, 3, 1, 2), []  # (b, n, h, p)
    for k in range(c):
        starts.append(running)
        running = whole[:, k] * running + added[:, k]

    # 4. What the state at the start of a chunk gives to its outputs.
    from_start = C @ torch.stack(starts, 1).reshape(b * c, n, h * p)  # (b c, q, h p)
    y = y + from_start.view(b * c, q, h, p) * decay.clamp(min=LOWEST_EXPONENT).exp()[..., None]
    return y.reshape(b, length, h, p), running.permute(0, 2, 3, 1)


def _zeros(x: Tensor, B: Tensor) -> Tensor:
    b, _, h, p = x.shape
    return x.new_zeros(b, h, p, B.shape[-1])


def _check_shapes(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial_state: Tensor | None
) -> None:
    if x.dim() != 4:
        raise ValueError(f"expected x of shape (batch, time, heads, channels), got {_shape(x)}")
    *bl, h, p = x.shape
    b, n = bl[0], B.shape[-1]
    expected = {"dt": (dt, (*bl, h)), "A": (A, (h,)), "B": (B, (*bl, n)), "C": (C, (*bl, n))}
    if initial_state is not None:
        expected["initial_state"] = (initial_state, (b, h, p, n))
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"expected {name} of shape {shape} beside x of shape {_shape(x)}, "
                f"got {_shape(tensor)}"
            )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
