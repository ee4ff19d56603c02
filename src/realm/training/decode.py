"""Decoding a prepared session as one continuous stream, as it would run live.

The student starts from its zero state at `start` and never sees a window edge; the output for
bin k is read `lookahead` bins later, when the student has heard that much more.

How well validation time is decoded is the figure that decides when a training stops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.nn.student import Student

CHUNK_BINS = 2048  # bounds memory; any other value gives the same output


def decode_stream(
    student: Student,
    session: PreparedSession,
    start: int = 0,
    stop: int | None = None,
    lookahead: int = 0,
) -> NDArray[np.float32]:
    """Decode bins [start, stop) of a session; returns (stop - start, dims) in behavior units.

    `lookahead` (bins) shifts the output back; the bins at the end that would need samples from
    beyond `stop` are read beyond it where the recording has them and are NaN where it ends.
    """
    stop = session.n_bins if stop is None else stop
    end = min(session.n_bins, stop + lookahead)
    latents = stream_latents(student, session, start, end)
    return read_out(student, session.session_id, latents, stop - start, lookahead)


@torch.no_grad()
def stream_latents(
    student: Student, session: PreparedSession, start: int, end: int
) -> list[Tensor]:
    """Latents of bins [start, end) from silence, in chunks (1, bins, d_model)."""
    parameter = next(student.parameters())
    state = student.initial_state(1, dtype=parameter.dtype, device=parameter.device)
    latents = []
    for at in range(start, end, CHUNK_BINS):
        values = session.features(at, min(end, at + CHUNK_BINS))  # (bins, channels, bands)
        chunk = torch.from_numpy(values)[None].to(parameter)
        output, state = student.step(chunk, state, session.session_id)
        latents.append(output.latent)
    return latents


@torch.no_grad()
def read_out(
    student: Student, session_id: str, latents: Sequence[Tensor], bins: int, lookahead: int
) -> NDArray[np.float32]:
    """What the head makes of the latents of a stream, (bins, dims), NaN where it has ended."""
    pieces = [student.to_units(student.head(latent), session_id)[0].cpu() for latent in latents]
    decoded = torch.cat(pieces).float().numpy()[lookahead:]
    missing = np.full((bins - len(decoded), decoded.shape[1]), np.nan, dtype=np.float32)
    return np.concatenate([decoded, missing])


def require_validation_labels(sessions: Sequence[PreparedSession]) -> None:
    """Raise a ValueError when no session has known behavior in its validation time."""
    if not any(s.behavior(*s.splits["validation"])[1].any() for s in sessions):
        raise ValueError(
            f"{', '.join(str(s.path) for s in sessions)}: expected known behavior in the "
            "validation time of at least one session, which decides when to stop; all of it is "
            "missing. Use longer recordings or repair the behavior"
        )


def validation_score(
    sessions: Sequence[PreparedSession], decode: Callable[[PreparedSession], NDArray[Any]]
) -> dict[str, float]:
    """Mean R² of `decode(session)`, (validation bins, dims), NaN where there is no output.

    `score` is the R²; where behavior does not vary in any session, it is minus the squared error.
    """
    scores, errors = [], []
    for session in sessions:
        decoded = decode(session)
        behavior, known = session.behavior(*session.splits["validation"])
        known = known & np.isfinite(decoded).all(axis=1)
        truth, guess = behavior[known], decoded[known]
        varying = truth.std(axis=0) > 0 if len(truth) > 1 else np.zeros(0, bool)
        if varying.any():
            scores.append(r2_score(truth[:, varying], guess[:, varying]))
        if len(truth):
            errors.append(float(np.mean((truth - guess) ** 2)))
    score = float(np.mean(scores)) if scores else -float(np.mean(errors or [math.inf]))
    return {"score": score, **({"r2": score} if scores else {})}
