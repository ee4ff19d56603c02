"""How late the outputs are, as a histogram around the deadline, which is the bin."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

BELOW, ABOVE, PER_OCTAVE = 7, 3, 2  # octaves of the histogram around the deadline


class Latencies:
    """The latencies of the last seconds, and counts of all since the stream began.

    The first bucket takes everything faster, the last one everything slower.

    Args:
        bin_ms: the deadline.
        span_s: how long a latency is recent.
    """

    def __init__(self, bin_ms: float, span_s: float) -> None:
        steps = np.arange(-BELOW * PER_OCTAVE, ABOVE * PER_OCTAVE + 1)
        self.edges_ms = bin_ms * 2.0 ** (steps / PER_OCTAVE)
        self._deadline_ms = bin_ms
        self._recent: deque[float] = deque(maxlen=max(1, round(1000 * span_s / bin_ms)))
        self._total = np.zeros(len(self.edges_ms) + 1, np.int64)
        self._missed, self._largest = 0, 0.0

    def add(self, latency_ms: NDArray[np.float64]) -> None:
        """Count those that are known."""
        known = latency_ms[np.isfinite(latency_ms)]
        if len(known) == 0:
            return
        self._total += self._counts(known)
        self._missed += int(np.count_nonzero(known > self._deadline_ms))
        self._largest = max(self._largest, float(known.max()))
        self._recent.extend(known.tolist())

    def message(self) -> dict[str, Any]:
        """What the page draws; the quantiles are those of the last seconds."""
        recent = np.array(self._recent)
        middle, late = np.percentile(recent, [50, 99]) if len(recent) else (None, None)
        return {
            "recent": self._counts(recent).tolist(),
            "total": self._total.tolist(),
            "p50_ms": middle if middle is None else round(float(middle), 4),
            "p99_ms": late if late is None else round(float(late), 4),
            "max_ms": round(self._largest, 4),
            "missed": self._missed,
        }

    def _counts(self, latency_ms: NDArray[np.float64]) -> NDArray[np.int64]:
        buckets = np.searchsorted(self.edges_ms, latency_ms, side="left")
        return np.bincount(buckets, minlength=len(self._total))
