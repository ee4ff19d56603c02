"""Everything that is counted while a stream is decoded.

Every sample that arrives is counted once, by what became of it: at the end,
`received == decoded + dropped`, where `dropped` is the sum of the counters named so.
Each counter is changed by one thread only.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

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


FRESH_S = 0.05  # a snapshot that is younger than this is given out again


@dataclass
class Samples:
    """Where the samples went, and which rows were put in their place."""

    received: int = 0  # that the source handed over
    decoded: int = 0  # that the decoder was given
    dropped_queue: int = 0  # too many waited to be decoded; they become a gap
    dropped_duplicated: int = 0  # sent twice
    dropped_backward: int = 0  # with a time stamp before its turn
    dropped_untimed: int = 0  # without a time stamp while no time was known
    dropped_refused: int = 0  # of a source that does not fit: shape, unit, rate
    dropped_unplaced: int = 0  # held back to tell gaps apart when the connection ended
    dropped_stopped: int = 0  # read, but decoding had been stopped
    filled: int = 0  # missing samples that were filled in (not received, not decoded ones)

    @property
    def dropped(self) -> int:
        """All that were dropped."""
        return sum(value for name, value in vars(self).items() if name.startswith("dropped_"))


@dataclass
class Stream:
    """What happened to the stream."""

    connected: int = 0  # times that a source was accepted
    lost: int = 0  # times that it went away
    refused: int = 0  # times that it did not fit
    gaps: int = 0  # that were filled
    resets: int = 0  # times that the decoder started anew, after a gap too long to fill
    bad_times: int = 0  # time stamps that were not finite or not believed
    clock_steps: int = 0  # times that the source's clock was set
    number_restarts: int = 0  # times that the source restarted its numbering of samples
    empty_blocks: int = 0  # blocks without samples
    refused_messages: int = 0  # that were not in the source's format
    extra_channels: int = 0  # of the source, not used
    reordered: bool = False  # the source has the channels in another order
    unit_ratio: float | None = None  # how many times larger the signal is than in training
    rate_hz: float | None = None  # measured from the time stamps
    delay_ms: float | None = None  # usual time from a sample's time stamp until it is here
    state_errors: int = 0  # times that the state or the status could not be written


@dataclass
class Bins:
    """What became of the bins."""

    given: int = 0  # rows handed to the sinks
    decoded: int = 0  # of those, decoded from samples, missing ones included
    held: int = 0  # of those, the value before repeated because samples are late
    neutral: int = 0  # of those, the neutral value, for any reason
    neutral_quorum: int = 0  # of those, too few good channels
    neutral_unchecked: int = 0  # of those, unit and rate were not yet checked
    neutral_late: int = 0  # of those, samples too late
    gap: int = 0  # of the decoded, without any usable sample
    restarted: int = 0  # of the decoded, the student's numbers overflowed
    late: int = 0  # decoded, but not given: a held or neutral row had taken their place
    skipped: int = 0  # neither decoded nor given: lost with a gap too long to fill
    misses: int = 0  # of the decoded, given later than one bin width after their last sample


@dataclass
class SinkCounts:
    """What one sink did."""

    written: int = 0  # rows
    dropped: int = 0  # rows, because it was slow
    failed: int = 0  # rows that it could not write
    errors: int = 0  # times that it could not
    last_error: str = ""


@dataclass
class Status:
    """All counters, and how the stream is now."""

    state: str = "starting"  # waiting, checking, running, late, refused, lost, ended
    reason: str = ""  # of the last refusal or loss
    samples: Samples = field(default_factory=Samples)
    stream: Stream = field(default_factory=Stream)
    bins: Bins = field(default_factory=Bins)
    sinks: dict[str, SinkCounts] = field(default_factory=dict)
    bad_channels: int = 0  # at the last decoded bin
    queued: int = 0  # samples that wait to be decoded

    def __post_init__(self) -> None:
        self.latency = Histogram()  # of decoded rows, from the last sample waited for
        self._begun = time.monotonic()
        self._snapshot: tuple[float, dict[str, Any]] = (-math.inf, {})

    def snapshot(self) -> dict[str, Any]:
        """The counters as a JSON-able dict."""
        now = time.monotonic()
        if now - self._snapshot[0] > FRESH_S:
            self._snapshot = now, self._made(now)
        return self._snapshot[1]

    def final(self) -> dict[str, Any]:
        """The counters as they are at this instant."""
        self._snapshot = (-math.inf, {})
        return self.snapshot()

    def _made(self, now: float) -> dict[str, Any]:
        made = asdict(self)
        made["samples"]["dropped"] = self.samples.dropped
        made["latency_ms"] = self.latency.summary()
        made["running_s"] = now - self._begun
        return made
