"""Step times of a long stream in little memory, with the deadlines that were missed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.live.histogram import LOWEST_MS, PER_DECADE, Histogram


class StepTimes(Histogram):
    """A histogram of durations that also counts those above a deadline, in ms."""

    def __init__(self, deadline_ms: float) -> None:
        super().__init__()
        self.deadline_ms, self.n, self.missed = deadline_ms, 0, 0

    def add(self, latency_ms: NDArray[np.float64]) -> None:
        """Count these durations."""
        super().add(latency_ms)
        self.n += latency_ms.size
        self.missed += int((latency_ms > self.deadline_ms).sum())

    def merge(self, other: StepTimes) -> None:
        """Count all durations of another one."""
        self.counts += other.counts
        self.n += other.n
        self.missed += other.missed
        self.largest_ms = max(self.largest_ms, other.largest_ms)

    def at(self, percent: float) -> float:
        """This percentile in ms, at most 2% too large; NaN without any duration."""
        return self.percentile(percent) if self.n else float("nan")

    def missed_per_million(self) -> float:
        """Durations above the deadline, per million; NaN without any duration."""
        return 1e6 * self.missed / self.n if self.n else float("nan")

    def bars(self, joined: int = 3) -> tuple[list[float], list[float]]:
        """Edges in ms (one more) and counts, so many steps joined, from the first to the last."""
        filled = np.flatnonzero(self.counts)
        if not len(filled):
            return [LOWEST_MS], []
        first = int(filled[0]) // joined
        last = int(filled[-1]) // joined + 1
        counts = self.counts.reshape(-1, joined).sum(axis=1)[first:last]
        edges = LOWEST_MS * 10 ** (joined * np.arange(first, last + 1.0) / PER_DECADE)
        return edges.tolist(), counts.astype(float).tolist()
