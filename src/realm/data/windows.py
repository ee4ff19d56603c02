"""Training windows from many sessions, in an order that depends on nothing but the seed.

Every epoch lays windows side by side from a random first bin of each session and shuffles them,
with a generator seeded with (seed, epoch). They are the windows of torch_brain's
`RandomFixedWindowSampler`, run in units of bins. The stream of windows of all epochs is cut into
global batches; batch number `step` is therefore the same after a restart and whatever the number
of processes, which take turns through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realm.data.sessions import PreparedSession, PreparedSet

IN_MEMORY_BYTES = 2 << 30


class Windows(NamedTuple):
    """Windows of one session, as they enter a model.

    Attributes:
        session_id: of all of them.
        features: (batch, time, channels, bands) float32, normalized.
        behavior: (batch, time, dims) float32 in the session's unit, 0 where unknown.
        behavior_mask: (batch, time) bool, True = known and within the label budget.
        index: (batch,) int64, position in the global batch.
        start: (batch,) int64, first bin of each window in its session.
    """

    session_id: str
    features: Tensor
    behavior: Tensor
    behavior_mask: Tensor
    index: Tensor  # type: ignore[assignment]
    start: Tensor


class WindowSource:
    """Draws batches of windows of `window_bins` bins from one split of several sessions.

    Args:
        sessions: a folder of prepared files, or sessions.
        split: "train", "validation" or "test".
        window_bins: length of a window.
        batch_size: windows per global batch.
        seed: of the order and the jitter.
        label_s: label budgets in seconds by session id; a session not named keeps all labels.
            They apply to the training split only.
        labelled_only: leave out the time after the last label, where nothing reads the signal
            alone; at least one window stays.

    Raises:
        ValueError: no window fits, a session in `label_s` is unknown, or a size is not positive.
    """

    def __init__(
        self,
        sessions: PreparedSet | Sequence[PreparedSession] | Path | str,
        split: str = "train",
        *,
        window_bins: int,
        batch_size: int,
        seed: int,
        label_s: Mapping[str, float] | None = None,
        labelled_only: bool = False,
    ) -> None:
        found = PreparedSet.load(sessions) if isinstance(sessions, (str, Path)) else sessions
        self.sessions = {session.session_id: session for session in found}
        if window_bins < 1 or batch_size < 1:
            raise ValueError(
                f"expected window_bins and batch_size of 1 or more, got {window_bins} and "
                f"{batch_size}; raise them"
            )
        self.split, self.window_bins, self.batch_size, self.seed = (
            split,
            window_bins,
            batch_size,
            seed,
        )
        self.label_s = dict(label_s or {})
        self._spans = {name: _span(s, split, window_bins) for name, s in self.sessions.items()}
        self._labels = _labels(self.sessions, split, self.label_s)
        if labelled_only:
            self._spans = {name: self._until_last_label(name) for name in self.sessions}
        self._arrays = self._load() if self._bytes() <= IN_MEMORY_BYTES else {}
        self._order = lru_cache(maxsize=2)(self._draw_epoch)

    @property
    def windows_per_epoch(self) -> int:
        """Windows in one pass: every session gives its length over `window_bins`, rounded down."""
        return sum((stop - start) // self.window_bins for start, stop in self._spans.values())

    @property
    def steps_per_epoch(self) -> int:
        """Batches that one pass fills, at least 1."""
        return max(1, self.windows_per_epoch // self.batch_size)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> list[Windows]:
        """The share of process `rank` of `world` in global batch number `step`, by session.

        Sessions come in the order of the set, windows of a session in the order of the batch.

        Raises:
            ValueError: `rank` is not below `world`, or `world` exceeds the batch size.
        """
        if not 0 <= rank < world or world > self.batch_size:
            raise ValueError(
                f"expected rank below world and world at most the batch size {self.batch_size}, "
                f"got rank {rank} of {world}; start fewer processes or raise the batch size"
            )
        groups: dict[str, list[tuple[int, int]]] = {name: [] for name in self.sessions}
        for index in range(rank, self.batch_size, world):
            epoch, position = divmod(step * self.batch_size + index, self.windows_per_epoch)
            name, start = self._order(epoch)[position]
            groups[name].append((index, start))
        return [self._windows(name, rows) for name, rows in groups.items() if rows]

    def _until_last_label(self, name: str) -> tuple[int, int]:
        start, stop = self._spans[name]
        known = self.sessions[name].behavior(start, stop)[1] & self._labels[name][start:stop]
        last = int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0
        return start, start + max(self.window_bins, last)

    def _draw_epoch(self, epoch: int) -> list[tuple[str, int]]:
        """(session, first bin) of every window of one epoch."""
        digest = hashlib.sha256(f"{self.seed}/{epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        order = shuffled_windows(self._spans, self.window_bins, generator)
        assert len(order) == self.windows_per_epoch
        return order

    def _windows(self, name: str, rows: list[tuple[int, int]]) -> Windows:
        cut = [self._cut(name, start) for _, start in rows]
        features, behavior, mask = (np.stack(part) for part in zip(*cut, strict=True))
        return Windows(
            name,
            torch.from_numpy(features),  # (batch, time, channels, bands)
            torch.from_numpy(behavior),  # (batch, time, dims)
            torch.from_numpy(mask),  # (batch, time)
            torch.tensor([index for index, _ in rows]),
            torch.tensor([start for _, start in rows]),
        )

    def _cut(
        self, name: str, start: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        stop, session = start + self.window_bins, self.sessions[name]
        if name in self._arrays:
            first = self._spans[name][0]
            at = slice(start - first, stop - first)
            features, behavior, mask = self._arrays[name]
            return features[at], behavior[at], mask[at]
        behavior, mask = session.behavior(start, stop)
        return session.features(start, stop), behavior, mask & self._labels[name][start:stop]

    def _bytes(self) -> int:
        return sum(
            (stop - start) * len(s.channel_names) * len(s.band_names) * 4
            for s, (start, stop) in zip(self.sessions.values(), self._spans.values(), strict=True)
        )

    def _load(
        self,
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]]:
        arrays = {}
        for name, (start, stop) in self._spans.items():
            session = self.sessions[name]
            behavior, mask = session.behavior(start, stop)
            labelled = mask & self._labels[name][start:stop]
            arrays[name] = session.features(start, stop), behavior, labelled
        return arrays


def shuffled_windows(
    spans: Mapping[str, tuple[int, int]], window_bins: int, generator: torch.Generator
) -> list[tuple[str, int]]:
    """Windows of one epoch, shuffled: each span gives its length over `window_bins`, rounded down.

    Windows follow each other from a random offset below one window. Where the bins left over at
    both ends add up to a window, one more is taken from the end that has more of them.

    Args:
        spans: first bin and bin after the last by session.
        window_bins: length of a window.
        generator: draws one offset per session in their order, then the order of the windows.

    Returns:
        (session, first bin) of every window.
    """
    drawn: list[tuple[str, int]] = []
    for name, (start, stop) in spans.items():
        offset = torch.rand(1, generator=generator).item() * window_bins  # exact, 24 bits of 53
        count = int((stop - start - offset) // window_bins)
        drawn += [(name, start + int(offset) + k * window_bins) for k in range(count)]
        left_over = stop - start - offset - count * window_bins
        if left_over + offset >= window_bins:
            drawn.append((name, stop - window_bins if left_over > offset else start))
    return [drawn[k] for k in torch.randperm(len(drawn), generator=generator).tolist()]


def _span(session: PreparedSession, split: str, window_bins: int) -> tuple[int, int]:
    if split not in session.splits:
        raise ValueError(
            f"expected a split out of {', '.join(session.splits)}, got {split!r}; choose one"
        )
    start, stop = session.splits[split]
    if stop - start < window_bins:
        raise ValueError(
            f"{session.path}: expected at least {window_bins} bins of {split} for one window, got "
            f"{stop - start}; use shorter windows or leave session {session.session_id} out"
        )
    return start, stop


def _labels(
    sessions: Mapping[str, PreparedSession], split: str, label_s: Mapping[str, float]
) -> dict[str, NDArray[np.bool_]]:
    """Which bins may show their label, for every session."""
    unknown = sorted(set(label_s) - set(sessions))
    if unknown:
        raise ValueError(
            f"expected label budgets for known sessions ({', '.join(sessions)}), got "
            f"{', '.join(unknown)}; correct the session id"
        )
    labels = {}
    for name, session in sessions.items():
        budget = label_s.get(name) if split == "train" else None
        labels[name] = np.ones(session.n_bins, bool)
        if budget is not None:
            labels[name][slice(*session.splits["train"])] = session.training_labels(budget)
    return labels
