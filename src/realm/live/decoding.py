"""What is done with what arrives: it is decoded, counted and handed to the sinks.

Waking a thread takes as long as decoding. So the thread that reads a live source also decodes its
samples, as long as it keeps up. If it does not, or if another thread is decoding, the samples wait
in a queue for the thread of `LiveLoop.run`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from realm.live.clock import now_s
from realm.live.outputs import Outputs
from realm.live.queues import BoundedQueue, Outlet, Queued
from realm.live.reader import Arrival, Connected, Ended, Gone, Message, Receiver
from realm.live.rehearsal import Rehearsal
from realm.live.settings import LiveSettings
from realm.live.status import Status
from realm.live.stream import Stream
from realm.streaming import StreamingDecoder

IDLE_S = 0.2  # longest wait, so that a request to stop is seen
KEEPS_UP = 0.5  # decoding may take this share of the time that the samples took,
BEHIND_S = 0.02  # and this much more in the long run;
END_S = 2.0  # to decode what waits at the end
APART_S = 1.0  # if it takes more, another thread decodes for this long


class Decoding(Receiver):
    """Decodes what arrives and hands it to outlets; safe to call from several threads.

    Args:
        decoder, settings, status: as in `LiveLoop`.
        ending: set when the source is not read any more.
        waits: whether the source can wait (a file): then it is read ahead and nothing is late.
        say: is called with one line about what happens.

    Attributes:
        stream: what is decoded.
        outlets: where rows go.
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
        self._turn = threading.Lock()  # held by the thread that decodes
        self._over = False  # the reading thread decodes no more
        self._behind_s, self._apart_until_s = 0.0, -math.inf
        self._rehearsal = None if waits else Rehearsal(decoder, settings)
        self._connection = self._refused = 0  # numbers of connections, 0 = none
        self._ever_checked = False
        self._begun = False  # samples were decoded
        self._next_late_s = math.inf  # when a row without samples is due
        self._given_s = math.nan  # until when there are rows, in the time of this machine
        self._decoded_s = -math.inf  # when a row was decoded that may be held

    # The thread of `LiveLoop.run` ---------------------------------------------------------------

    def process_next(self) -> bool:
        """Wait a while for one message, process it, and give rows that are late; False at the end.

        Raises:
            ValueError: the source does not fit the bundle and never did.
        """
        self._queue.wait(self._until_late_s())
        return self.process_waiting()

    def process_waiting(self) -> bool:
        """As `process_next`, without waiting."""
        with self._turn:
            queued = self._queue.get(0.0)
            if queued is not None and not self._process(queued):
                return False
            self._give_late_rows()
        return True

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be processed."""
        return self._queue.empty

    def finish(self) -> None:
        """Decode what waits, for `END_S` at most; the last row is neutral. The rest is counted.

        Raises:
            ValueError: as in `LiveLoop.run`.
        """
        self._queue.close()
        with self._turn:
            self._over = True
            try:
                until_s = now_s() + END_S
                while now_s() < until_s and (queued := self._queue.get(0.0)) is not None:
                    self._process(queued)
                self._status.samples.dropped_stopped += self._dropped_rest()
            finally:
                self._status.samples.dropped_refused += self._dropped_rest()  # after an error
                self._status.samples.dropped_queue = self._queue.dropped
                self.stream.part()
                self._hand_over(self.stream.own(1, held=False))

    # The thread that reads: see `Receiver` ------------------------------------------------------

    def announce(self, message: Message) -> None:
        """Queue a message about the connection."""
        self._queue.put(message)

    def receive(self, arrival: Arrival) -> bool:
        """Decode samples now, or queue them; False if it is too late for both."""
        n = len(arrival.rows)
        first = not self._begun  # the other thread must know that there is a stream
        apart = self._waits or first or now_s() < self._apart_until_s
        if apart or not self._turn.acquire(blocking=False):
            return self._queue.put(arrival, n, wait=self._waits)
        try:
            if self._over or not self._queue.empty:  # what waits comes first
                return self._queue.put(arrival, n)
            begun_s = now_s()
            self._decode(arrival, lost=0)
            allowed_s = KEEPS_UP * n / self._decoder.sampling_rate_hz
            self._behind_s = max(0.0, self._behind_s + now_s() - begun_s - allowed_s)
            if self._behind_s > BEHIND_S:
                self._behind_s, self._apart_until_s = 0.0, now_s() + APART_S
        except BaseException as error:  # raised again by the other thread
            self._over = True
            self._queue.put(Ended(error))
        finally:
            self._turn.release()
        return True

    def refuses(self, connection: int) -> bool:
        """Whether the samples of this connection showed that its source does not fit."""
        return connection == self._refused

    def until_rehearsal_s(self) -> float:
        """Seconds until `rehearse` is due; may be infinite."""
        due_s = math.inf if self._rehearsal is None else self._rehearsal.due_s
        return max(0.0, due_s - now_s())

    def rehearse(self) -> None:
        """Prepare the next step while there are no samples, if it is due."""
        rehearsal = self._rehearsal
        if rehearsal is None or now_s() < rehearsal.due_s:
            return
        rehearsal.due_s = math.inf  # once, even if another thread is decoding
        if self._queue.empty and self._turn.acquire(blocking=False):
            try:
                rehearsal.run(self.stream.state)
            finally:
                self._turn.release()

    # What arrives -------------------------------------------------------------------------------

    def _process(self, queued: Queued[Message]) -> bool:
        """Process one message; False if it was the last."""
        match queued.item:
            case Arrival() as arrival:
                self._decode(arrival, queued.lost)
            case Connected() as connected:
                self._connect(connected)
            case Gone(state, reason):
                self.stream.part()
                self._status.stream.lost += state == "lost"
                self._set_state(state, reason)
            case Ended(error):
                if error is not None:
                    raise error
                return False
        return True

    def _connect(self, connected: Connected) -> None:
        info, fit = connected.info, connected.fit
        self.stream.join()
        self._connection = connected.connection
        self._status.stream.connected += 1
        self._status.stream.extra_channels = len(fit.extra)
        self._status.stream.reordered = fit.reordered
        extra = f", {len(fit.extra)} more not used" if fit.extra else ""
        self._set_state(
            "checking",
            f"{info.name} sends {len(fit.columns)} channels in {info.unit or 'units of each'} at "
            f"{info.sampling_rate_hz:g} Hz{extra}",
        )
        self._follow_check()

    def _decode(self, arrival: Arrival, lost: int) -> None:
        status = self._status
        status.samples.dropped_queue, status.queued = self._queue.dropped, self._queue.waiting
        if arrival.connection != self._connection:
            status.samples.dropped_refused += len(arrival.rows)
            return
        if not now_s() < self._next_late_s:  # before the samples: what is too late is not given
            self._give_late_rows()
        if self._rehearsal is not None:
            self._rehearsal.expect(arrival)
        resets = status.stream.resets
        taken = self.stream.take(
            arrival.rows, arrival.times_s, arrival.first_index, lost, arrival.arrived_s
        )
        if not self._begun:
            self._begun, self._given_s = True, now_s()
        for outputs in taken.outputs:
            if len(outputs.bin):
                self._hand_over(outputs)
                self._given_s = now_s()
                self._decoded_s = -math.inf if outputs.neutral[-1] else self._given_s
        if status.stream.resets > resets:
            self._say("the decoder starts anew: the gap is too long to fill")
        self._plan_late_rows()
        why = self.stream.check(taken)
        if why:
            self._refuse(why)
        else:
            self._follow_check()

    def _follow_check(self) -> None:
        """Set the state by whether unit and rate are known to be right."""
        self._ever_checked |= self.stream.checked
        if self._status.state in ("checking", "late"):
            self._status.state = "running" if self.stream.checked else "checking"

    def _refuse(self, why: str) -> None:
        """The samples show that the source does not fit: drop what it still sends."""
        self._status.stream.refused += 1
        self._refused, self._connection = self._connection, 0
        if not self._ever_checked:
            raise ValueError(why)
        self.stream.refuse()
        self._set_state("refused", why)

    def _set_state(self, state: str, reason: str) -> None:
        self._status.state, self._status.reason = state, reason
        if state == "refused":
            self._decoded_s = -math.inf  # the last decoded row is not held
        self._say(f"{state}: {reason}")

    def _hand_over(self, outputs: Outputs) -> None:
        for outlet in self.outlets:
            outlet.put(outputs, self._waits)
        self._status.bins.given += len(outputs.bin)
        self._status.bins.neutral += int(np.count_nonzero(outputs.neutral))
        self._status.bins.held += int(np.count_nonzero(outputs.held))

    # When nothing arrives -----------------------------------------------------------------------

    def _until_late_s(self) -> float:
        """Seconds to wait for samples before a row without samples is due."""
        if self._waits or not self._begun:
            return IDLE_S
        return min(IDLE_S, max(0.0, self._next_late_s - now_s()) + 1e-4)

    def _plan_late_rows(self) -> None:
        """Say when the next row without samples is due; while nothing waits for rows."""
        if not self._waits and self._begun:
            next_s = self._given_s + self.stream.bins.bin_s
            latest_s = next_s + self._settings.late_ms / 1000
            self._next_late_s = max(next_s, min(latest_s, self.stream.due_s()))

    def _give_late_rows(self) -> None:
        """Give held or neutral rows for bins that were not decoded in time.

        In time is by their time stamps, as the stream usually comes, and by the progress of
        decoding: samples that arrive and cannot be decoded are no progress.
        """
        if self._waits or not self._begun:
            return
        now, bin_s = now_s(), self.stream.bins.bin_s
        silent_s = now - self._given_s
        late = max(
            self.stream.late_bins(now), int((silent_s - self._settings.late_ms / 1000) / bin_s)
        )
        late = min(late, int(silent_s / bin_s))  # no faster than time goes by
        if late > 0:
            if self._status.state in ("running", "checking"):
                self._status.state = "late"
            held = now - self._decoded_s <= self._settings.hold_ms / 1000
            self._hand_over(self.stream.own(late, held))
            self._given_s += late * bin_s
        self._plan_late_rows()

    def _dropped_rest(self) -> int:
        """Take out what still waits; how many samples that were."""
        dropped = 0
        while (queued := self._queue.get(0.0)) is not None:
            if isinstance(queued.item, Arrival):
                dropped += len(queued.item.rows)
        return dropped
