"""The last seconds of a stream, in bounded memory, between the decoder and the page.

The sink's thread adds, the server's thread takes; neither waits longer than for a copy of some
references. What is not taken in time is dropped from the page and counted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.live.clock import now_s
from realm.live.dashboard.state import describe, plain_status
from realm.live.outputs import OutputInfo, Outputs
from realm.streaming.quality import BAD_SHARE

VERSION = 1  # of the messages
SPAN_S = 10.0  # that the page shows
HEALTH_S = 1.0  # over which the health of a channel is averaged
MOST_WAITING = 20_000  # bins
MOST_KEPT = 400  # messages' rows for a page that opens later
MOST_ROWS = 200  # in one message; more are thinned
DIGITS = 6
HELD, NEUTRAL, GAP = 1, 2, 4  # bits of `flags`
BELOW, ABOVE, PER_OCTAVE = 7, 3, 2  # octaves of the histogram around the deadline


class Recent:
    """What the page shows: rows since the last message, health, latencies and counters."""

    def __init__(self, info: OutputInfo) -> None:
        self._info = info
        self._lock = threading.Lock()
        self._waiting: deque[Outputs] = deque()
        self._n_waiting = self._dropped = 0
        self._filled = np.zeros(len(info.channel_names))
        self._bad = self._clipped = 0
        self._latencies = Latencies(info.bin_ms, SPAN_S)
        self._status: dict[str, Any] = {}
        self._last: list[Outputs] = []
        self._heard_s = now_s()
        self._kept: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)
        self._sequence = 0

    def add(self, outputs: Outputs, status: dict[str, Any]) -> None:
        """Take rows and counters from the decoder."""
        with self._lock:
            self._status = dict(status)
            self._heard_s = now_s()
            if len(outputs.bin) == 0:
                return
            self._last = [outputs]
            self._waiting.append(outputs)
            self._n_waiting += len(outputs.bin)
            while self._n_waiting > MOST_WAITING and len(self._waiting) > 1:
                lost = len(self._waiting.popleft().bin)
                self._n_waiting -= lost
                self._dropped += lost
            self._judge(outputs)

    def _judge(self, outputs: Outputs) -> None:
        n_bins = len(outputs.bin)
        weight = 1 - math.exp(-n_bins * self._info.bin_ms / (1000 * HEALTH_S))
        self._filled += weight * (outputs.filled.mean(axis=0) - self._filled)
        self._bad, self._clipped = int(outputs.bad_channels[-1]), int(outputs.clipped_channels[-1])
        computed = ~outputs.held & ~(outputs.latency_ms == 0)  # 0: given because nothing came
        self._latencies.add(outputs.latency_ms[computed])

    def start_message(self) -> dict[str, Any]:
        """What a page needs once: the facts of the stream, and its last seconds."""
        info = self._info
        return {
            "type": "start",
            "version": VERSION,
            "session": info.session_id,
            "behavior_names": list(info.behavior_names),
            "behavior_unit": info.behavior_unit,
            "channel_names": list(info.channel_names),
            "bin_ms": info.bin_ms,
            "lookahead_ms": info.lookahead_ms,
            "bundle_sha256": info.bundle_sha256,
            "span_s": SPAN_S,
            "bad_percent": 100 * BAD_SHARE,
            "latency_edges_ms": np.round(self._latencies.edges_ms, 5).tolist(),
            "rows": list(self._kept),
        }

    def frame_message(self) -> dict[str, Any]:
        """What is new since the last message, and the current counters."""
        with self._lock:
            parts, self._n_waiting = list(self._waiting), 0
            self._waiting.clear()
            status, last, age_s = self._status, self._last, now_s() - self._heard_s
            filled = self._filled.copy()
            rest = {
                "latency": self._latencies.message(),
                "not_drawn": self._dropped,
                "age_s": round(age_s, 2),
            }
        rows = rows_message(parts)
        self._keep(rows)
        self._sequence += 1
        return rest | {
            "type": "frame",
            "sequence": self._sequence,
            "rows": rows,
            "channels": {
                "filled_percent": np.round(100 * filled).astype(int).tolist(),
                "bad": self._bad,
                "clipped": self._clipped,
            },
            "state": describe(parts or last, status, age_s)._asdict(),
            "status": plain_status(status),
        }

    def _keep(self, rows: dict[str, Any]) -> None:
        if rows["time_s"]:
            self._kept.append(rows)
            oldest_s = rows["time_s"][-1] - SPAN_S
            while self._kept[0]["time_s"][-1] < oldest_s:
                self._kept.popleft()


def rows_message(parts: Sequence[Outputs], most: int = MOST_ROWS) -> dict[str, Any]:
    """Outputs, oldest first, as one entry of a message.

    Above `most` rows only the last of every `every` rows is kept, with the flags of all of them.
    """
    if not parts:
        return {"every": 1, "time_s": [], "behavior": [], "truth": None, "flags": []}
    time_s = np.concatenate([part.time_s for part in parts])
    every = max(1, math.ceil(len(time_s) / most))
    starts = np.arange(0, len(time_s), every)
    ends = np.minimum(starts + every, len(time_s)) - 1
    flags = np.concatenate([_flags(part) for part in parts])
    return {
        "every": every,
        "time_s": np.round(time_s[ends], 5).tolist(),
        "behavior": plain(np.concatenate([part.behavior for part in parts])[ends]),
        "truth": _truth(parts, ends),
        "flags": np.bitwise_or.reduceat(flags, starts).tolist() if len(flags) else [],
    }


def plain(values: NDArray[Any]) -> list[Any]:
    """Rows of numbers in `DIGITS` significant digits of the largest; None if not finite."""
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    largest = np.abs(values[finite]).max(initial=0.0)
    if largest > 0:
        values = np.round(values, int(DIGITS - 1 - math.floor(math.log10(largest))))
    if finite.all():
        return list(values.tolist())
    return list(np.where(finite, values, None).tolist())  # type: ignore[call-overload]


def _flags(outputs: Outputs) -> NDArray[np.int64]:
    return HELD * outputs.held + NEUTRAL * outputs.neutral + GAP * outputs.gap  # type: ignore[no-any-return]


def _truth(parts: Sequence[Outputs], rows: NDArray[np.int64]) -> list[Any] | None:
    if all(part.truth is None for part in parts):
        return None
    filled = [
        np.full(np.shape(part.behavior), np.nan) if part.truth is None else part.truth
        for part in parts
    ]
    return plain(np.concatenate(filled)[rows])


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
