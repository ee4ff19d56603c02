"""Decoding a prepared session as one continuous stream, as it would run live.

The student starts from its zero state at `start` and never sees a window edge; the output for
bin k is read `lookahead` bins later, when the student has heard that much more.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.nn.student import Student

CHUNK_BINS = 2048  # bounds memory; any other value gives the same output


@torch.no_grad()
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
    parameter = next(student.parameters())
    state = student.initial_state(1, dtype=parameter.dtype, device=parameter.device)
    pieces = []
    for at in range(start, end, CHUNK_BINS):
        values = session.features(at, min(end, at + CHUNK_BINS))  # (bins, channels, bands)
        chunk = torch.from_numpy(values)[None].to(parameter)
        output, state = student.step(chunk, state, session.session_id)
        pieces.append(student.to_units(output.behavior, session.session_id)[0].cpu())
    decoded = torch.cat(pieces).float().numpy()[lookahead:]
    missing = np.full((stop - start - len(decoded), decoded.shape[1]), np.nan, dtype=np.float32)
    return np.concatenate([decoded, missing])
