"""Decoding ready before the samples are: the next step is done once in advance and forgotten.

Between two blocks of samples a processor turns to other things, and the first step after the pause
takes three times as long as one right after another, since code and weights come from far memory.
Steps are pure, so the one that is due can be rehearsed on the samples before, just in time: what
comes out is dropped, the stream's own state is not touched.
"""

from __future__ import annotations

import math

from realm.live.clock import now_s
from realm.live.memory import LiveState
from realm.live.reader import Arrival
from realm.live.settings import LiveSettings
from realm.live.status import Status
from realm.live.stream import Stream
from realm.streaming import StreamingDecoder

MARGIN_S = 1.2e-3  # from a rehearsal to its samples: a thread may wake late, they may be early
LATE = 1.5  # a rehearsal may take so many times as long as they did lately
MEMORY = 0.05  # weight of the latest in that
LEAST_S = 2.5e-3  # blocks that follow more closely find everything still at hand


class Rehearsal:
    """What `Decoding` has done while there are no samples.

    Attributes:
        due_s: when to rehearse, on the clock of `now_s`; infinite if not before the next samples.
    """

    def __init__(self, decoder: StreamingDecoder, settings: LiveSettings) -> None:
        self._rate_hz = decoder.sampling_rate_hz
        self._double = Stream(decoder, settings, Status(), present=True)
        self._heard: Arrival | None = None
        self._takes_s = MARGIN_S
        self.due_s = math.inf

    def hear(self, arrival: Arrival) -> None:
        """Expect as many samples again, as much later as they take."""
        block_s = len(arrival.rows) / self._rate_hz
        self._heard = arrival
        lead_s = MARGIN_S + LATE * self._takes_s
        fits = block_s > max(LEAST_S, lead_s)
        self.due_s = arrival.arrived_s + block_s - lead_s if fits else math.inf

    def run(self, state: LiveState) -> None:
        """Take the samples before once more, as if they followed on this state."""
        self.due_s = math.inf
        if self._heard is None:
            return
        rows, times_s, first_index = self._heard[:3]
        later_s = len(rows) / self._rate_hz
        number = None if first_index is None else first_index + len(rows)
        begun_s = now_s()
        self._double.state = state
        self._double.take(rows, times_s + later_s, number, lost=0)
        self._takes_s += MEMORY * (min(LEAST_S, now_s() - begun_s) - self._takes_s)
