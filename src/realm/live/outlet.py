"""The thread of one sink: a slow or failing sink holds up nothing but itself."""

from __future__ import annotations

import threading

from realm.live.queue import BoundedQueue
from realm.live.sink import OutputInfo, Outputs, Sink
from realm.live.status import SinkCounts, Status

CLOSE_S = 10.0  # how long a sink may take for what still waits at the end
POLL_S = 0.5


class Outlet:
    """Hands rows to a sink, in a thread of its own unless the sink is immediate.

    Args:
        name: of the sink in the status.
        sink: where the rows go; it is opened here, by the caller's thread.
        info: what will be written.
        status: given to the sink with every write; its counters for this sink are kept.
        limit: rows that may wait.
        hurry: once it is set, nothing waits for the sink any longer.

    Raises:
        OSError, ValueError: the sink cannot be opened.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        info: OutputInfo,
        status: Status,
        limit: int,
        hurry: threading.Event,
    ) -> None:
        self.name, self._sink, self._status = name, sink, status
        self.counts = status.sinks[name] = SinkCounts()
        self._queue: BoundedQueue[Outputs | None] = BoundedQueue(limit, hurry)
        self._untaken = 0  # rows
        self._abandoned = threading.Event()
        sink.open(info)
        self._thread: threading.Thread | None = None
        self._open = True
        if not getattr(sink, "immediate", False):
            self._thread = threading.Thread(target=self._serve, name=f"realm-{name}", daemon=True)
            self._thread.start()

    def put(self, outputs: Outputs, wait: bool) -> None:
        """Hand over rows; where the sink is slow, wait for it or drop the oldest that wait."""
        if self._thread is None:
            self._write(outputs)
            return
        if not self._queue.put(outputs, len(outputs.bin), wait):
            self._untaken += len(outputs.bin)
        self.counts.dropped = self._queue.dropped + self._untaken

    def close(self) -> None:
        """Write what waits, then close the sink; one that takes too long is left behind."""
        if self._thread is None:
            if self._open:
                self._open = False
                self._close_sink()
            return
        self._queue.put(None)
        self._thread.join(CLOSE_S)
        self._abandoned.set()
        self._queue.close()
        if self._thread.is_alive():
            self.counts.dropped += self._queue.waiting
            self._failed(TimeoutError(f"did not finish within {CLOSE_S:g} s and was left"), 0)

    def _serve(self) -> None:
        while not self._abandoned.is_set():
            taken = self._queue.get(POLL_S)
            if taken is None:
                continue
            if taken.item is None:
                break
            self._write(taken.item)
        self._close_sink()

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            self._failed(error, 0)

    def _write(self, outputs: Outputs) -> None:
        try:
            self._sink.write(outputs, self._status.snapshot)
            self.counts.written += len(outputs.bin)
        except Exception as error:  # whatever a sink does, decoding goes on
            self._failed(error, len(outputs.bin))

    def _failed(self, error: Exception, rows: int) -> None:
        self.counts.failed += rows
        self.counts.errors += 1
        self.counts.last_error = f"{type(error).__name__}: {error}"
