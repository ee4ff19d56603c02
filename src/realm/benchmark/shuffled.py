"""Sessions cut into segments that are shuffled into the splits: neighbours in time on both sides.

A session becomes a row of 10 s segments, first those of training, then of validation, then of test,
as if it had been recorded that way; windows of 5 s never cross from one segment into the next. For
the paper-compatible protocol alone.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession, open_prepared
from realm.data.windows import WindowSource

SEGMENT_S, WINDOW_S = 10.0, 5.0
HELD_OUT = 0.1  # of the segments, for validation and for test each


class ShuffledSession(PreparedSession):
    """A prepared session with other features and its segments in another order."""

    arrays: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]

    @classmethod
    def of(cls, path: Path, features: NDArray[np.float32], seed: int) -> Self:
        """The session of a prepared file with `features` (bins, channels, bands).

        Raises:
            ValueError: it has too few segments for three splits.
        """
        session = cls(path, open_prepared(path))
        values, mask = PreparedSession.behavior(session, 0, session.n_bins)
        segment = 2 * window_bins(session.bin_ms)
        count = session.n_bins // segment
        held = max(1, round(HELD_OUT * count))
        if count < 2 * held + 1:
            raise ValueError(
                f"{path}: expected at least 3 segments of {SEGMENT_S:g} s, got {count}; "
                "leave this session out"
            )
        order = np.random.default_rng([seed, session.n_bins]).permutation(count)
        bins = (order[:, None] * segment + np.arange(segment)).ravel()
        session.arrays = features[bins], values[bins], mask[bins]
        session.n_bins = len(bins)
        borders = [0, *(segment * k for k in (count - 2 * held, count - held, count))]
        names = ("train", "validation", "test")
        session.splits = dict(zip(names, itertools.pairwise(borders), strict=True))
        return session

    def features(self, start: int, stop: int) -> NDArray[np.float32]:
        """Z-scored features of bins [start, stop) in the new order."""
        return self.arrays[0][start:stop]

    def behavior(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Behavior and mask of bins [start, stop) in the new order."""
        return self.arrays[1][start:stop], self.arrays[2][start:stop]


class SegmentWindows(WindowSource):
    """Windows that are halves of segments, shuffled anew in every epoch."""

    def _draw_epoch(self, epoch: int) -> list[tuple[str, int]]:
        starts: list[tuple[str, int]] = [
            (name, start)
            for name, (first, end) in self._spans.items()
            for start in range(first, end, self.window_bins)
        ]
        order = np.random.default_rng([self.seed, epoch]).permutation(len(starts))
        return [starts[k] for k in order.tolist()]


def window_bins(bin_ms: float) -> int:
    """Bins of half a segment."""
    return round(WINDOW_S * 1000 / bin_ms)


def windows_of(session: PreparedSession) -> list[int]:
    """First bin of every window of a session."""
    return list(range(0, session.n_bins, window_bins(session.bin_ms)))
