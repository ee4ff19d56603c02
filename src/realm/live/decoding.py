"""What is done with what arrives: decoded, counted and handed on, by one thread at a time.

Waking a thread takes as long as decoding. So the thread that reads the samples of a live source
decodes them as well, as long as it keeps up; where it does not, or another thread is at it, they
wait in a queue for the thread of `LiveLoop.run`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from realm.live.check import SignalCheck
from realm.live.clock import now_s
from realm.live.outlet import Outlet
from realm.live.queue import BoundedQueue, Taken
from realm.live.reader import Arrival, Connected, Ended, Gone, Message
from realm.live.rehearsal import Rehearsal
from realm.live.settings import LiveSettings
from realm.live.sink import Outputs
from realm.live.status import Status
from realm.live.stream import Stream
from realm.streaming import StreamingDecoder

IDLE_S = 0.2  # longest wait, so that a request to stop is seen
KEEPS_UP = 0.5  # decoding may take this share of the time that the samples took,
BEHIND_S = 0.02  # and so much more in the long run;
APART_S = 1.0  # for so long reading and decoding stay apart where it took more


class Decoding:
    """Decodes what arrives into outlets; safe to call from several threads.

    Args:
        decoder, settings, status: as in `LiveLoop`.
        ending: set when the source is not read any more.
        waits: whether the source can wait (a file): then it is read ahead and nothing is late.
        say: is told in one line what happens.

    Attributes:
        stream: that is decoded.
        outlets: where rows go.
        refuse: is called where samples show that their source does not fit.
    """

    def __init__(
        self,
        decoder: StreamingDecoder,
        settings: LiveSettings,
        status: Status,
        ending: threading.Event,
        waits: bool,
        say: Callable[[str], None],
    ) -> None:
        self._decoder, self._settings, self._status = decoder, settings, status
        self._waits, self._say = waits, say
        limit = max(1, round(settings.queue_s * decoder.sampling_rate_hz))
        self._queue: BoundedQueue[Message] = BoundedQueue(limit, ending)
        self.stream = Stream(decoder, settings, status, present=not waits)
        self.outlets: list[Outlet] = []
        self.refuse: Callable[[], None] = lambda: None
        self._turn = threading.Lock()
        self._over = False  # nothing is decoded any more as it is read
        self._behind_s, self._apart_until_s = 0.0, -math.inf
        self._rehearsal = None if waits else Rehearsal(decoder, settings)
        self._check = SignalCheck(decoder, settings.check_s)
        self._connection, self._ever_passed = 0, False
        self._arrived_s = math.nan  # when samples came last
        self._decoded_s = -math.inf  # when a row was decoded last

    # The thread of `LiveLoop.run` ---------------------------------------------------------------

    def go_on(self) -> bool:
        """Wait a while for one message, deal with it and with what is late; False at the end."""
        self._queue.wait(self._patience_s())
        with self._turn:
            taken = self._queue.get(0.0)
            if taken is not None and not self._take(taken):
                return False
            self._mind_the_time()
        return True

    def finish(self) -> None:
        """Decode what waits and part; the last row is neutral. What cannot be decoded is counted.

        Raises:
            ValueError: as in `LiveLoop.run`.
        """
        self._queue.close()
        with self._turn:
            self._over = True
            try:
                while (taken := self._queue.get(0.0)) is not None:
                    self._take(taken)
            finally:
                self._drop_the_rest()
                self._status.samples.dropped_queue = self._queue.dropped
                self.stream.part()
                self._hand_over(self.stream.own(1, held=False))

    # The thread that reads ----------------------------------------------------------------------

    def patience_s(self) -> float:
        """How long to wait for samples before `rehearse` is to be called; may be infinite."""
        due_s = math.inf if self._rehearsal is None else self._rehearsal.due_s
        return max(0.0, due_s - now_s())

    def rehearse(self) -> None:
        """Have the next step at hand when its samples come, if it is time for that."""
        ready = self._rehearsal
        if ready is None or now_s() < ready.due_s:
            return
        ready.due_s = math.inf  # once, even if another thread is at it
        if self._queue.empty and self._turn.acquire(blocking=False):
            try:
                ready.run(self.stream.state)
            finally:
                self._turn.release()

    def tell(self, message: Message) -> None:
        """Queue what is not samples."""
        self._queue.put(message)

    def hear(self, arrival: Arrival) -> bool:
        """Decode samples here and now, or queue them; False if they came too late for either."""
        n = len(arrival.rows)
        first = math.isnan(self._arrived_s)  # the other thread is to know that there is a stream
        apart = self._waits or first or now_s() < self._apart_until_s
        if apart or not self._turn.acquire(blocking=False):
            return self._queue.put(arrival, n, wait=self._waits)
        try:
            if self._over or not self._queue.empty:  # what waits comes first
                return self._queue.put(arrival, n)
            begun_s = now_s()
            self._take_samples(arrival, lost=0)
            allowed_s = KEEPS_UP * n / self._decoder.sampling_rate_hz
            self._behind_s = max(0.0, self._behind_s + now_s() - begun_s - allowed_s)
            if self._behind_s > BEHIND_S:
                self._behind_s, self._apart_until_s = 0.0, now_s() + APART_S
        except BaseException as error:  # said by the other thread
            self._over = True
            self._queue.put(Ended(error))
        finally:
            self._turn.release()
        return True

    # What arrives -------------------------------------------------------------------------------

    def _take(self, taken: Taken[Message]) -> bool:
        """Deal with one message; False if it was the last."""
        match taken.item:
            case Arrival() as arrival:
                self._take_samples(arrival, taken.lost)
            case Connected() as connected:
                self._join(connected)
            case Gone(state, reason):
                self.stream.part()
                self._status.stream.lost += state == "lost"
                self._tell(state, reason)
            case Ended(error):
                if error is not None:
                    raise error
                return False
        return True

    def _join(self, connected: Connected) -> None:
        info, fit = connected.info, connected.fit
        self.stream.part()
        self._connection = connected.connection
        self._check = SignalCheck(self._decoder, self._settings.check_s)
        self._status.stream.connected += 1
        self._status.stream.extra_channels = len(fit.extra)
        self._status.stream.reordered = fit.reordered
        extra = f", {len(fit.extra)} more not used" if fit.extra else ""
        self._tell(
            "checking",
            f"{info.name} sends {len(fit.columns)} channels in {info.unit} at "
            f"{info.sampling_rate_hz:g} Hz{extra}",
        )
        self._heed_check()

    def _tell(self, state: str, reason: str) -> None:
        self._status.state, self._status.reason = state, reason
        if state == "refused":
            self._decoded_s = -math.inf  # what was decoded last is not held
        self._say(f"{state}: {reason}")

    def _take_samples(self, arrival: Arrival, lost: int) -> None:
        status = self._status
        status.samples.dropped_queue, status.queued = self._queue.dropped, self._queue.waiting
        if arrival.connection != self._connection:
            status.samples.dropped_refused += len(arrival.rows)
            return
        self._arrived_s = arrival.arrived_s
        if self._rehearsal is not None:
            self._rehearsal.hear(arrival)
        resets = status.stream.resets
        outputs, volts, rates = self.stream.take(
            arrival.rows, arrival.times_s, arrival.first_index, lost
        )
        for each in outputs:
            if len(each.bin):
                self._hand_over(each)
                self._decoded_s = now_s()
        if status.stream.resets > resets:
            self._say("the decoder begins anew: samples are missing for too long to fill them in")
        for rate_hz in rates:
            status.stream.rate_hz = float(rate_hz)
        why = self._check.hear(volts, rates)
        status.stream.unit_ratio = self._check.unit_ratio
        if why:
            self._refuse(why)
        else:
            self._heed_check()

    def _heed_check(self) -> None:
        if self._check.passed:
            self._ever_passed = True
            self.stream.approve(True)
        if self._status.state in ("checking", "late"):
            self._status.state = "running" if self._check.passed else "checking"

    def _refuse(self, why: str) -> None:
        """The samples show that the source does not fit."""
        self._status.stream.refused += 1
        self._connection = 0  # what still comes from it is dropped
        if not self._ever_passed:
            raise ValueError(why)
        self.stream.approve(False)
        self.stream.part()
        self.refuse()
        self._tell("refused", why)

    def _hand_over(self, outputs: Outputs) -> None:
        for outlet in self.outlets:
            outlet.put(outputs, self._waits)
        self._status.bins.given += len(outputs.bin)
        self._status.bins.neutral += int(np.count_nonzero(outputs.neutral))
        self._status.bins.held += int(np.count_nonzero(outputs.held))

    # When nothing arrives -----------------------------------------------------------------------

    def _patience_s(self) -> float:
        """How long to wait for samples before a row of the loop's own is due."""
        if self._waits or math.isnan(self._arrived_s):
            return IDLE_S
        due_s = self._arrived_s + self._settings.late_ms / 1000 + self.stream.due_s()
        return min(IDLE_S, max(0.0, due_s - now_s()) + 1e-4)

    def _mind_the_time(self) -> None:
        """Give held or neutral rows for bins whose samples are late."""
        if self._waits or math.isnan(self._arrived_s):
            return
        now = now_s()
        late = self.stream.late_bins(now - self._arrived_s - self._settings.late_ms / 1000)
        if late > 0:
            if self._status.state in ("running", "checking"):
                self._status.state = "late"
            held = now - self._decoded_s <= self._settings.hold_ms / 1000
            self._hand_over(self.stream.own(late, held))

    def _drop_the_rest(self) -> None:
        """After an error: what still waits is not decoded, but counted."""
        while (taken := self._queue.get(0.0)) is not None:
            if isinstance(taken.item, Arrival):
                self._status.samples.dropped_refused += len(taken.item.rows)
