"""The loop between source and sinks: nothing that comes in stops it, nothing is lost uncounted.

    loop = LiveLoop(decoder, source, {"csv": sink})
    status = loop.run()                    # until the source ends or `loop.stop()`

A thread reads the source into a bounded queue; the thread of `run` takes samples from it, puts
them in their place in time, decodes them and hands the rows to the sinks, each of which has a
thread and a queue of its own. Whatever comes, the last row that an effector gets is either decoded
just now, or held for a moment, or neutral.

| fault | what is done | counter |
| --- | --- | --- |
| NaN, infinity, spike, flat or saturated channel | replaced by the signal chain; the row says how much | `filled` of the row, `bad_channels` |
| too few good channels | neutral until the quorum is back | `bins.neutral_quorum` |
| channel missing, renamed or named twice | refused by name | `stream.refused` |
| channels in another order, or more of them | matched by name | `stream.reordered`, `stream.extra_channels` |
| nominal rate or measured rate not that of the bundle | refused | `stream.refused`, `samples.dropped_refused` |
| unit unknown, or wrong by the size of the signal | neutral while it is checked, then refused | `stream.refused`, `stream.unit_ratio` |
| gap up to `longest_fill_s` | filled with missing samples, decoding goes on | `stream.gaps`, `samples.filled` |
| longer gap | the decoder begins anew | `stream.resets`, `bins.skipped` |
| sample sent twice | dropped | `samples.dropped_duplicated` |
| time stamp before its turn | dropped; if they stay there the decoder begins anew | `samples.dropped_backward`, `stream.clock_steps` |
| time stamp not finite, or one far off | the sample is taken in its turn | `stream.bad_times` |
| jitter, drift up to 0.1% | followed | none |
| block without samples | passed over | `stream.empty_blocks` |
| block of another shape or type | refused, neutral, opened again | `stream.refused`, `samples.dropped_refused` |
| no samples for `late_ms` | rows at the bin rate: held, after `hold_ms` neutral | `bins.held`, `bins.neutral_late` |
| samples after that | decoded; rows that were given are not given again | `bins.late` |
| source goes away | as above; opened again until it fits | `stream.lost`, `stream.connected` |
| it returns in another shape | refused by name, opened again until it fits | `stream.refused` |
| decoding is slower than the source | the oldest waiting samples are dropped and become a gap | `samples.dropped_queue` |
| a sink is slow | its oldest waiting rows are dropped | `sinks.NAME.dropped` |
| a sink raises, a disk is full | rows are counted, the next write may succeed | `sinks.NAME.failed`, `.errors` |
| state or status cannot be written | decoding goes on, tried again each second | `stream.state_errors` |
| SIGTERM, SIGINT | what was read is decoded, a neutral row, sinks flushed, state saved | `state` is ended |
| kill -9 | the state file is whole and at most a second or so old | |
| restart with a state file | goes on to the same bit if the gap is short, else begins anew | `stream.gaps`, `stream.resets` |
"""  # noqa: E501

from __future__ import annotations

import gc
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from realm.live import memory
from realm.live.check import SignalCheck
from realm.live.clock import now_s
from realm.live.outlet import Outlet
from realm.live.queue import BoundedQueue, Taken
from realm.live.reader import Arrival, Connected, Ended, Gone, Message, Reader
from realm.live.rehearsal import Rehearsal
from realm.live.settings import LiveSettings
from realm.live.sink import OutputInfo, Outputs, Sink
from realm.live.source import Source
from realm.live.status import Status
from realm.live.stream import Stream
from realm.streaming import StreamingDecoder

SWITCH_S = 2e-4  # longest wait for the interpreter while another thread works
IDLE_S = 0.2  # longest wait, so that a request to stop is seen
JOIN_S = 5.0  # for the reader, which may be inside a library


class LiveLoop:
    """Decodes a source into sinks until it ends or is stopped.

    Args:
        decoder: of the bundle.
        source, sinks: as `source.py` and `sink.py` say; sinks by the name they have in the status.
        settings: what is done when the stream is not perfect.
        unit: of the samples, if the source's own word is not to be taken.
        state_path: file of the saved state; None keeps none.
        status_path: file of the counters, JSON; None writes none.
        say: is told in one line what happens, from any thread.
        report: is shown the counters about once a second.
    """

    def __init__(
        self,
        decoder: StreamingDecoder,
        source: Source,
        sinks: Mapping[str, Sink],
        settings: LiveSettings | None = None,
        *,
        unit: str | None = None,
        state_path: Path | None = None,
        status_path: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        report: Callable[[dict[str, Any]], None] = lambda status: None,
    ) -> None:
        self.settings = settings = settings or LiveSettings()
        self.status = Status()
        self._decoder, self._sinks, self._say = decoder, sinks, say
        self._state_path, self._status_path, self._report = state_path, status_path, report
        self._stopping = threading.Event()  # somebody wants an end: sinks are not waited for
        self._ending = threading.Event()  # the source is not read any more
        self._waits = bool(getattr(source, "can_wait", False))
        self._stream = Stream(decoder, settings, self.status, present=not self._waits)
        self._rehearsal = None if self._waits else Rehearsal(decoder, settings)
        rate_hz, dims = decoder.sampling_rate_hz, len(decoder.bundle.behavior_names)
        self._queue: BoundedQueue[Message] = BoundedQueue(
            max(1, round(settings.queue_s * rate_hz)), self._ending
        )
        self._reader = Reader(
            source, decoder.channel_names, rate_hz, dims, self._queue, self.status,
            settings.retry_s, unit,
        )  # fmt: skip
        self._check = SignalCheck(decoder, settings.check_s)
        self._outlets: list[Outlet] = []
        self._connection, self._ever_passed = 0, False
        self._arrived_s = math.nan  # when samples came last
        self._decoded_s = -math.inf  # when a row was decoded last

    def stop(self) -> None:
        """End soon and in order; may be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self) -> Status:
        """Decode until the source ends or `stop` is called.

        Returns:
            The counters at the end.

        Raises:
            ValueError: the source does not fit the bundle and never did.
            OSError: a sink cannot be opened.
        """
        self._restore()
        try:
            self._open_sinks()
            keeper = self._keeper()
            with _quick_threads():
                keeper.start()
                self._reader.start()
                try:
                    self._decode_until_the_end()
                finally:
                    self._finish(keeper)
        finally:
            for outlet in self._outlets:
                outlet.close()
        return self.status

    # The stages of a run ------------------------------------------------------------------------

    def _restore(self) -> None:
        path = self._state_path
        if path is not None and path.exists():
            self._stream.restore(path)
            self._say(f"goes on from bin {self._stream.state.next_bin}, as saved in {path}")

    def _open_sinks(self) -> None:
        bundle, decoder = self._decoder.bundle, self._decoder
        info = OutputInfo(
            bundle.session_id, bundle.behavior_names, bundle.behavior_unit, decoder.channel_names,
            decoder.bin_ms, bundle.lookahead_bins * decoder.bin_ms, bundle.sha256,
        )  # fmt: skip
        limit = max(1, round(self.settings.sink_queue_s * 1000 / decoder.bin_ms))
        for name, sink in self._sinks.items():
            outlet = Outlet(name, sink, info, self.status, limit, self._stopping)
            self._outlets.append(outlet)

    def _keeper(self) -> memory.Keeper:
        path = self._state_path
        save = None if path is None else lambda state: memory.save(path, state, self._decoder)
        return memory.Keeper(
            lambda: self._stream.state, self.status.snapshot, save, self._status_path, self._report,
            self._not_written,
        )  # fmt: skip

    def _not_written(self, error: OSError) -> None:
        self.status.stream.state_errors += 1
        if self.status.stream.state_errors == 1:
            self._say(f"{error}")

    def _decode_until_the_end(self) -> None:
        while not self._stopping.is_set():
            taken = self._queue.get(self._patience_s())
            if taken is not None and not self._take(taken):
                return
            self._mind_the_time()
            self._rehearse()

    def _finish(self, keeper: memory.Keeper) -> None:
        """What was read is decoded, the last row is neutral, the state is saved."""
        self._ending.set()
        self._reader.stop()
        self._reader.join(JOIN_S)
        self._queue.close()
        try:
            while (taken := self._queue.get(0.0)) is not None:
                self._take(taken)
        finally:
            self._drop_the_rest()
            self._stream.part()
            self._hand_over(self._stream.own(1, held=False))
            for outlet in self._outlets:
                outlet.close()
            self.status.state = "ended"
            self.status.samples.dropped_queue = self._queue.dropped
            self.status.final()
            keeper.stop()

    def _drop_the_rest(self) -> None:
        """After an error: what still waits is not decoded, but counted."""
        while (taken := self._queue.get(0.0)) is not None:
            if isinstance(taken.item, Arrival):
                self.status.samples.dropped_refused += len(taken.item.rows)

    # What arrives -------------------------------------------------------------------------------

    def _take(self, taken: Taken[Message]) -> bool:
        """Deal with one message; False if it was the last."""
        match taken.item:
            case Arrival() as arrival:
                self._take_samples(arrival, taken.lost)
            case Connected() as connected:
                self._join(connected)
            case Gone(state, reason):
                self._stream.part()
                self.status.stream.lost += state == "lost"
                self._tell(state, reason)
            case Ended(error):
                if error is not None:
                    raise error
                return False
        return True

    def _join(self, connected: Connected) -> None:
        info, fit = connected.info, connected.fit
        self._stream.part()
        self._connection = connected.connection
        self._check = SignalCheck(self._decoder, self.settings.check_s)
        self.status.stream.connected += 1
        self.status.stream.extra_channels = len(fit.extra)
        self.status.stream.reordered = fit.reordered
        extra = f", {len(fit.extra)} more not used" if fit.extra else ""
        self._tell(
            "checking",
            f"{info.name} sends {len(fit.columns)} channels in {info.unit} at "
            f"{info.sampling_rate_hz:g} Hz{extra}",
        )
        self._heed_check()

    def _tell(self, state: str, reason: str) -> None:
        self.status.state, self.status.reason = state, reason
        if state == "refused":
            self._decoded_s = -math.inf  # what was decoded last is not held
        self._say(f"{state}: {reason}")

    def _take_samples(self, arrival: Arrival, lost: int) -> None:
        status = self.status
        status.samples.dropped_queue, status.queued = self._queue.dropped, self._queue.waiting
        if arrival.connection != self._connection:
            status.samples.dropped_refused += len(arrival.rows)
            return
        self._arrived_s = arrival.arrived_s
        if self._rehearsal is not None:
            self._rehearsal.hear(arrival)
        resets = status.stream.resets
        outputs, volts, rates = self._stream.take(
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
            self._stream.approve(True)
        if self.status.state in ("checking", "late"):
            self.status.state = "running" if self._check.passed else "checking"

    def _refuse(self, why: str) -> None:
        """The samples show that the source does not fit."""
        self.status.stream.refused += 1
        self._connection = 0  # what still comes from it is dropped
        if not self._ever_passed:
            raise ValueError(why)
        self._stream.approve(False)
        self._stream.part()
        self._reader.refuse()
        self._tell("refused", why)

    def _hand_over(self, outputs: Outputs) -> None:
        for outlet in self._outlets:
            outlet.put(outputs, self._waits)
        self.status.bins.given += len(outputs.bin)
        self.status.bins.neutral += int(np.count_nonzero(outputs.neutral))
        self.status.bins.held += int(np.count_nonzero(outputs.held))

    # When nothing arrives -----------------------------------------------------------------------

    def _patience_s(self) -> float:
        """How long to wait for samples before a row of the loop's own is due."""
        if self._waits or math.isnan(self._arrived_s):
            return IDLE_S
        due_s = self._arrived_s + self.settings.late_ms / 1000 + self._stream.due_s()
        if self._rehearsal is not None:
            due_s = min(due_s, self._rehearsal.due_s)
        return min(IDLE_S, max(0.0, due_s - now_s()) + 1e-4)

    def _mind_the_time(self) -> None:
        """Give held or neutral rows for bins whose samples are late."""
        if self._waits or math.isnan(self._arrived_s):
            return
        now = now_s()
        late = self._stream.late_bins(now - self._arrived_s - self.settings.late_ms / 1000)
        if late > 0:
            if self.status.state in ("running", "checking"):
                self.status.state = "late"
            held = now - self._decoded_s <= self.settings.hold_ms / 1000
            self._hand_over(self._stream.own(late, held))

    def _rehearse(self) -> None:
        """Have the next step at hand when its samples come."""
        ready = self._rehearsal
        if ready is not None and not self._queue.waiting and now_s() >= ready.due_s:
            ready.run(self._stream.state)


@contextmanager
def _quick_threads() -> Iterator[None]:
    """Let threads take turns quickly and keep what is loaded out of garbage collections."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)
