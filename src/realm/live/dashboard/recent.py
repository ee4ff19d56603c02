"""The last seconds of a stream, in bounded memory, between the decoder and the page.

The sink's thread adds, the server's thread takes; neither waits longer than for a copy of some
references. What is not taken in time is dropped from the page and counted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

import numpy as np

from realm.live.clock import now_s
from realm.live.dashboard.latency import Latencies
from realm.live.dashboard.rows import rows_message
from realm.live.dashboard.state import describe, plain_status
from realm.live.sink import OutputInfo, Outputs
from realm.streaming.quality import BAD_SHARE

VERSION = 1  # of the messages
SPAN_S = 10.0  # that the page shows
HEALTH_S = 1.0  # over which the health of a channel is averaged
MOST_WAITING = 20_000  # bins
MOST_KEPT = 400  # messages' rows for a page that opens later


class Recent:
    """What there is to show: rows since the last message, health, latencies and counters."""

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
        """What a page needs once: what the stream is, and its last seconds."""
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
        """What is new since the last one, and everything else as it stands."""
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
