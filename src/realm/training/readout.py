"""Refitting the behavior head in closed form, on the continuous stream it will read.

Training shows the network short windows that start from silence, so its head is fitted to latents
that have just warmed up and to the noise that augmentation adds. Deployed, it reads one endless
stream. After training the head is therefore solved once more as a ridge regression from the
latents of the whole training stream, all sessions pooled; the penalty is chosen on validation
time, and the trained head stays where none of the solutions decodes it better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.nn.student import Student
from realm.training.decode import CHUNK_BINS

PENALTIES = 10.0 ** np.arange(-6, 0)  # as a share of the mean variance of a latent

FloatArray = NDArray[np.float64]


class Sums(NamedTuple):
    """Second moments of latents (with a constant behind) and behavior, added up over bins."""

    xx: FloatArray  # (d_model + 1, d_model + 1)
    xy: FloatArray  # (d_model + 1, dims)


@torch.no_grad()
def refit_readout(
    student: Student,
    sessions: Sequence[PreparedSession],
    labelled: Callable[[PreparedSession], NDArray[np.bool_]],
    lookahead: int,
    score: Callable[[], float],
) -> float:
    """Replace the head by the ridge solution that scores best; returns the score of the winner.

    `labelled(session)` tells which bins of its training split may be used, (bins,) True = known.
    `lookahead` is in bins. `score()` decodes validation time with the head as it then is; higher
    is better. A session without labels takes no part. Memory does not grow with the recordings.
    """
    student.eval()
    best, kept = score(), _head(student)
    sums = _sums(student, sessions, labelled, lookahead)
    if sums is None:
        return best
    scale = float(np.trace(sums.xx[:-1, :-1])) / max(1, len(sums.xx) - 1)
    for penalty in PENALTIES * scale:
        _set_head(student, _solve(sums, penalty))
        reached = score()
        if reached > best:
            best, kept = reached, _head(student)
    _set_head(student, kept)
    return best


def _sums(
    student: Student,
    sessions: Sequence[PreparedSession],
    labelled: Callable[[PreparedSession], NDArray[np.bool_]],
    lookahead: int,
) -> Sums | None:
    width, dims = student.d_model + 1, student.head.behavior_dims
    sums, bins = Sums(np.zeros((width, width)), np.zeros((width, dims))), 0
    for session in sessions:
        start, stop = session.splits["train"]
        known = labelled(session)
        if not known.any():
            continue
        values, _ = session.behavior(start, stop)
        wanted = student.normalize_behavior(torch.from_numpy(values), session.session_id).numpy()
        for first, latent in _latents(student, session, start, stop, lookahead):
            chosen = known[first : first + len(latent)]
            x = np.c_[latent, np.ones(len(latent))][chosen]  # (bins, d_model + 1)
            sums.xx[...] += x.T @ x
            sums.xy[...] += x.T @ wanted[first : first + len(latent)][chosen]
            bins += len(x)
    return sums if bins >= width else None


def _latents(
    student: Student, session: PreparedSession, start: int, stop: int, lookahead: int
) -> Iterator[tuple[int, FloatArray]]:
    """Pairs (bins after `start`, latents) of the stream; with lookahead, latents of later bins.

    Nothing after `stop` is read, so the last `lookahead` bins have none.
    """
    parameter = next(student.parameters())
    state = student.initial_state(1, dtype=parameter.dtype, device=parameter.device)
    for at in range(start, stop, CHUNK_BINS):
        chunk = torch.from_numpy(session.features(at, min(stop, at + CHUNK_BINS)))[None]
        output, state = student.step(chunk.to(parameter), state, session.session_id)
        first = at - start - lookahead
        latent = output.latent[0, max(0, -first) :].double().cpu().numpy()
        yield max(0, first), latent


def _solve(sums: Sums, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (dims, d_model) and bias (dims,); the bias is not penalized."""
    ridge = np.diag(np.r_[np.full(len(sums.xx) - 1, penalty), 0.0])
    solution = np.linalg.lstsq(sums.xx + ridge, sums.xy, rcond=None)[0]
    return torch.from_numpy(solution[:-1].T), torch.from_numpy(solution[-1])


def _head(student: Student) -> tuple[torch.Tensor, torch.Tensor]:
    return student.head.linear.weight.clone(), student.head.linear.bias.clone()


def _set_head(student: Student, values: tuple[torch.Tensor, torch.Tensor]) -> None:
    student.head.linear.weight.copy_(values[0])
    student.head.linear.bias.copy_(values[1])
