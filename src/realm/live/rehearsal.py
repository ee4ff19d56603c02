"""Do the next step once in advance, so that code and weights are in fast memory when it counts.

Between two blocks of samples a processor does other things. The first step after the pause then
takes three times as long as one right after another, since code and weights come from slow memory.
Steps are pure, so the next one can be rehearsed on the previous samples just before it is due: its
output is dropped, and the stream's own state does not change.
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

MARGIN_S = 1.2e-3  # between a rehearsal and its samples: a thread may wake late, they may be early
LATE = 1.5  # safety factor on the recent mean duration of a rehearsal
MEMORY = 0.05  # weight of the newest duration in that mean
LEAST_S = 2.5e-3  # between shorter blocks, everything stays in fast memory


class Rehearsal:
    """What `Decoding` does while there are no samples.

    Attributes:
        due_s: when to rehearse, on the clock of `now_s`; infinite if not before the next samples.
    """

    def __init__(self, decoder: StreamingDecoder, settings: LiveSettings) -> None:
        self._rate_hz = decoder.sampling_rate_hz
        self._double = Stream(decoder, settings, Status(), present=True)  # never checks its samples
        self._last: Arrival | None = None
        self._takes_s = MARGIN_S
        self.due_s = math.inf

    def expect(self, arrival: Arrival) -> None:
        """Expect the next samples: as many as these, and later by the time that these span."""
        block_s = len(arrival.rows) / self._rate_hz
        self._last = arrival
        lead_s = MARGIN_S + LATE * self._takes_s
        fits = block_s > max(LEAST_S, lead_s)
        self.due_s = arrival.arrived_s + block_s - lead_s if fits else math.inf

    def run(self, state: LiveState) -> None:
        """Take the last samples once more, as if they came after this state."""
        self.due_s = math.inf
        if self._last is None:
            return
        rows, times_s, first_index = self._last[:3]
        arrived_s = self._last.arrived_s
        later_s = len(rows) / self._rate_hz
        number = None if first_index is None else first_index + len(rows)
        begun_s = now_s()
        self._double.state = state
        self._double.take(rows, times_s + later_s, number, 0, arrived_s + later_s)
        self._takes_s += MEMORY * (min(LEAST_S, now_s() - begun_s) - self._takes_s)
