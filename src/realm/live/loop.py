"""The loop between source and sinks: no input stops it, and everything that is lost is counted.

Example:

    loop = LiveLoop(decoder, source, {"csv": sink})
    status = loop.run()                    # until the source ends or `loop.stop()`

A thread reads the source. As long as decoding keeps up, the same thread puts the samples in their
place in time, decodes them and hands the rows to the sinks. Otherwise the thread of `run` does that,
with a bounded queue between the two. The thread of `run` also gives the rows that are late. A sink
that may wait has its own thread and queue. The last row that an effector gets is always one of
three: decoded just now, held for a moment, or neutral.

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
| time stamp before its turn | dropped; if they agree on another clock for 0.25 s the decoder begins anew | `samples.dropped_backward`, `stream.clock_steps` |
| time stamp not finite, or not of the present | the sample is taken in its turn | `stream.bad_times` |
| number of a sample that jumps while its time stamp does not | not believed; placed by its time stamp | `stream.number_restarts` |
| samples stamped as they are sent, several at once | the first gives the time, the others follow | none |
| jitter, drift up to 0.1% | followed | none |
| block without samples | passed over | `stream.empty_blocks` |
| block of another shape or type | refused, neutral, opened again | `stream.refused`, `samples.dropped_refused` |
| no samples for `late_ms`, or none that can be decoded | rows at the bin rate: held, after `hold_ms` neutral | `bins.held`, `bins.neutral_late` |
| samples after that | decoded; rows that were given are not given again | `bins.late` |
| source slower than real time, or far behind | held, then neutral: no row is decoded from samples older than `late_ms` + `hold_ms` | `bins.late`, `bins.neutral_late`, `stream.delay_ms` |
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

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realm.files import make_folder
from realm.live import memory
from realm.live.decoding import Decoding
from realm.live.outputs import OutputInfo
from realm.live.queues import Outlet
from realm.live.reader import Reader
from realm.live.settings import LiveSettings
from realm.live.sinks import Sink
from realm.live.sources import Source, can_wait
from realm.live.status import Status
from realm.locks import Lock
from realm.streaming import StreamingDecoder

SWITCH_S = 2e-4  # longest wait of a thread for the interpreter
JOIN_S = 5.0  # for the reader, which may be inside a library


class LiveLoop:
    """Decodes a source into sinks until it ends or is stopped.

    Args:
        decoder: of the bundle.
        source, sinks: see `Source` and `Sink`; sinks by their names in the status.
        settings: what is done when the stream is not perfect.
        unit: of the samples, instead of the one that the source declares; None to trust it.
        state_path: file of the saved state; None keeps none.
        status_path: file of the counters, JSON; None writes none.
        say: is called with one line about what happens, from any thread.
        report: is called with the counters about once a second.
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
        self._stopping = threading.Event()  # `stop` was called: do not wait for sinks
        self._ending = threading.Event()  # the source is not read any more
        waits = can_wait(source)
        rate_hz, dims = decoder.sampling_rate_hz, len(decoder.bundle.behavior_names)
        self._decoding = Decoding(decoder, settings, self.status, self._ending, waits, say)
        self._reader = Reader(
            source,
            decoder.channel_names,
            rate_hz,
            dims,
            self._decoding,
            self.status,
            settings.retry_s,
            unit,
        )

    def stop(self) -> None:
        """End soon and in order. A signal handler or another thread may call it."""
        self._stopping.set()

    def run(self) -> Status:
        """Decode until the source ends or `stop` is called.

        Returns:
            The counters at the end.

        Raises:
            ValueError: the source does not fit the bundle and never did, or another process writes
                the same state, status or log.
            OSError: a sink cannot be opened.
        """
        with contextlib.ExitStack() as locks:
            for path in self._own_files():
                locks.enter_context(Lock(path))
            self._restore()
            return self._run()

    def _run(self) -> Status:
        outlets = self._decoding.outlets
        try:
            self._open_sinks(outlets)
            keeper = self._keeper()
            with _quick_threads():
                keeper.start()
                self._reader.start()
                try:
                    while not self._stopping.is_set() and self._decoding.process_next():
                        pass
                finally:
                    self._finish(keeper)
        finally:
            for outlet in outlets:
                outlet.close()
        return self.status

    def _own_files(self) -> list[Path]:
        """The files of state and status; they are plain files, and two of them."""
        paths = [path for path in (self._state_path, self._status_path) if path is not None]
        if len({path.resolve() for path in paths}) < len(paths):
            raise ValueError(
                f"{paths[0]}: expected one file for the state and another for the status, got one "
                "for both; name another"
            )
        for path in paths:
            if path.exists() and not path.is_file():
                raise ValueError(
                    f"{path}: expected a plain file or none, found something else; name another"
                )
            make_folder(path.parent)
        return paths

    def _restore(self) -> None:
        path, stream = self._state_path, self._decoding.stream
        if path is not None and path.exists():
            stream.restore(path)
            self._say(f"resumes at bin {stream.state.next_bin}, as saved in {path}")

    def _open_sinks(self, outlets: list[Outlet]) -> None:
        bundle, decoder = self._decoder.bundle, self._decoder
        info = OutputInfo(
            bundle.session_id,
            bundle.behavior_names,
            bundle.behavior_unit,
            decoder.channel_names,
            decoder.bin_ms,
            bundle.lookahead_bins * decoder.bin_ms,
            bundle.sha256,
        )
        limit = max(1, round(self.settings.sink_queue_s * 1000 / decoder.bin_ms))
        for name, sink in self._sinks.items():
            outlets.append(Outlet(name, sink, info, self.status, limit, self._stopping))

    def _keeper(self) -> memory.Keeper:
        path, stream = self._state_path, self._decoding.stream
        save = None if path is None else lambda state: memory.save(path, state, self._decoder)
        return memory.Keeper(
            lambda: stream.state,
            self.status.snapshot,
            save,
            self._status_path,
            self._report,
            self._not_written,
        )

    def _not_written(self, error: OSError) -> None:
        self.status.stream.state_errors += 1
        if self.status.stream.state_errors == 1:
            self._say(f"{error}")

    def _finish(self, keeper: memory.Keeper) -> None:
        """Decode what was read, give a neutral row, save the state."""
        self._ending.set()
        self._reader.stop()
        self._reader.join(JOIN_S)
        try:
            self._decoding.finish()
        finally:
            for outlet in self._decoding.outlets:
                outlet.close()
            self.status.state = "ended"
            self.status.final()
            keeper.stop()


@contextmanager
def _quick_threads() -> Iterator[None]:
    """Let threads switch quickly, and keep loaded objects out of garbage collection."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)
