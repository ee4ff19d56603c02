"""The teacher's latents, computed once before distillation.

The teacher is frozen while the student learns, and reads signal without noise, so what it says of
a bin never changes: one pass over training time replaces a teacher pass in every training step.
The teacher looks both ways, so it is shown one split at a time: nothing of validation or test time
reaches what the student is aligned to.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows
from realm.nn.teacher import AnyTeacher

SEGMENT_S, CONTEXT_S = 60.0, 10.0

LatentCache = dict[tuple[str, int, int], Tensor]  # by session, first bin and bin after the last


class TeacherLatents:
    """Latents (bins of one split, d_model) of every session, float32 in memory.

    `cache` keeps them for whoever asks the same teacher for the same spans again.
    """

    def __init__(
        self,
        teacher: AnyTeacher,
        sessions: Sequence[PreparedSession],
        split: str = "train",
        cache: LatentCache | None = None,
    ) -> None:
        cache = {} if cache is None else cache
        for session in sessions:
            span = (session.session_id, *session.splits[split])
            if span not in cache:
                cache[span] = torch.from_numpy(encode_span(teacher, session, *span[1:]))
        self._latents = {s.session_id: cache[s.session_id, *s.splits[split]] for s in sessions}
        self._first = {session.session_id: session.splits[split][0] for session in sessions}

    def of(self, windows: Sequence[Windows]) -> Tensor:
        """Latents of the bins of these windows, rows concatenated: (batch, time, d_model)."""
        rows = []
        for group in windows:
            whole, time = self._latents[group.session_id], group.features.shape[1]
            starts = (group.start - self._first[group.session_id]).tolist()
            rows += [whole[start : start + time] for start in starts]
        return torch.stack(rows).to(windows[0].features.device)

    def all(self) -> Tensor:
        """Latents of all sessions, (bins, d_model)."""
        return torch.cat(list(self._latents.values()))


def encode_session(teacher: AnyTeacher, session: PreparedSession) -> NDArray[np.float32]:
    """The teacher's latents of a whole session, (n_bins, d_model), each split by itself."""
    spans = spans_of_splits(session)
    return np.concatenate([encode_span(teacher, session, *span) for span in spans])


def spans_of_splits(session: PreparedSession) -> list[tuple[int, int]]:
    """The whole session in three spans (start, stop), so that no split's signal reaches another."""
    borders = [0, session.splits["train"][1], session.splits["test"][0], session.n_bins]
    return list(itertools.pairwise(borders))


@torch.no_grad()
def encode_span(
    teacher: AnyTeacher, session: PreparedSession, begin: int, end: int
) -> NDArray[np.float32]:
    """Latents of bins [begin, end) with nothing hidden, from the signal of these bins alone.

    Read in segments with context on both sides, so that memory does not grow with the recording.
    """
    teacher.eval()
    device = next(teacher.parameters()).device
    segment = round(SEGMENT_S * 1000 / session.bin_ms)
    context = round(CONTEXT_S * 1000 / session.bin_ms)
    pieces = []
    for start in range(begin, end, segment):
        first, last = max(begin, start - context), min(end, start + segment + context)
        features = torch.from_numpy(session.features(first, last))[None].to(device)
        latents = teacher.encode([features_only(session.session_id, features)])[0].cpu().numpy()
        pieces.append(latents[start - first : start - first + segment])
    return np.concatenate(pieces)


def features_only(session_id: str, features: Tensor) -> Windows:
    """Windows (batch, time, channels, bands) without behavior."""
    batch, time = features.shape[:2]
    known = torch.zeros(batch, time, dtype=torch.bool)
    row = torch.arange(batch)
    return Windows(session_id, features, torch.zeros(batch, time, 0), known, row, row)
