"""A histogram of latencies that never grows: percentiles to two percent, the largest exactly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LOWEST_MS, DECADES, PER_DECADE = 1e-3, 8, 120  # 1 µs to 100 s in steps of 1.9%
PERCENTILES = (50.0, 99.0, 99.9)


class Histogram:
    """Counts of latencies by size, on a logarithmic scale."""

    def __init__(self) -> None:
        self.counts = np.zeros(DECADES * PER_DECADE, dtype=np.int64)
        self.largest_ms = 0.0

    def add(self, latency_ms: NDArray[np.float64]) -> None:
        """Count these latencies; what is off the scale is counted at its end."""
        for each_ms in latency_ms.tolist():  # mostly one
            step = int(math.log10(max(each_ms, LOWEST_MS) / LOWEST_MS) * PER_DECADE)
            self.counts[min(step, len(self.counts) - 1)] += 1
            self.largest_ms = max(self.largest_ms, each_ms)

    def percentile(self, percent: float) -> float:
        """Upper edge of the step that holds this percentile, in ms; 0 without any."""
        total = int(self.counts.sum())
        if not total:
            return 0.0
        at = int(np.searchsorted(np.cumsum(self.counts), np.ceil(total * percent / 100)))
        return min(self.largest_ms, float(LOWEST_MS * 10 ** ((at + 1) / PER_DECADE)))

    def summary(self) -> dict[str, float]:
        """Percentiles and the largest, in ms."""
        found = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        return {**found, "max": self.largest_ms}
