"""Queues between threads that never grow beyond a limit, and the thread of each sink."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from realm.live.outputs import OutputInfo, Outputs
from realm.live.sinks import Sink, is_immediate
from realm.live.status import SinkCounts, Status

T = TypeVar("T")
HURRY_S = 0.2  # how often a waiting thread looks at `hurry`


class Queued(NamedTuple, Generic[T]):
    """One item of the queue."""

    item: T
    lost: int  # size of what was dropped just before it


class BoundedQueue(Generic[T]):
    """Items with sizes, in order; the oldest are dropped when there are too many.

    Items of size zero (messages) are never dropped. A single item above the limit is taken when
    nothing else waits.

    Args:
        limit: sum of the sizes that may wait.
        hurry: once it is set, `put` waits for room no more.

    Attributes:
        dropped: sum of the sizes of all dropped items.
    """

    def __init__(self, limit: int, hurry: threading.Event) -> None:
        self._limit, self._hurry = limit, hurry
        self._items: deque[tuple[T, int, int]] = deque()  # item, size, lost before it
        self._changed = threading.Condition()
        self._closed = False
        self.waiting = 0  # sum of the sizes
        self.dropped = 0

    def put(self, item: T, size: int = 0, wait: bool = False) -> bool:
        """Add an item; drop the oldest if there is no room, or `wait` for it.

        Returns:
            False if the item was not taken: the queue was closed, or there was no room and no time
            to wait.
        """
        with self._changed:
            while wait and size and self._full(size) and not self._closed:
                if self._hurry.is_set():
                    return False
                self._changed.wait(HURRY_S)
            if self._closed:
                return False
            self._items.append((item, size, 0))
            self.waiting += size
            while size and self.waiting > self._limit and self._drop_oldest():
                pass
            self._changed.notify_all()
            return True

    @property
    def empty(self) -> bool:
        """Whether the queue is empty."""
        return not self._items

    def wait(self, timeout_s: float) -> None:
        """Wait until there is an item, at most for this time."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout_s)

    def get(self, timeout_s: float) -> Queued[T] | None:
        """The oldest item; None if there is none within this time."""
        with self._changed:
            self.wait(timeout_s)
            if not self._items:
                return None
            item, size, lost = self._items.popleft()
            self.waiting -= size
            self._changed.notify_all()
            return Queued(item, lost)

    def close(self) -> None:
        """Take no more items; those that wait can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self, size: int) -> bool:
        return self.waiting > 0 and self.waiting + size > self._limit

    def _drop_oldest(self) -> bool:
        """Drop the oldest item with a size, unless it is the only one."""
        sized = islice((at for at, (_, size, _) in enumerate(self._items) if size), 2)
        at, after = next(sized, -1), next(sized, -1)  # at the front: it takes no time
        if after < 0:
            return False
        _, size, lost = self._items[at]
        del self._items[at]
        item, its_size, before = self._items[after - 1]
        self._items[after - 1] = (item, its_size, before + lost + size)
        self.waiting -= size
        self.dropped += size
        return True


CLOSE_S = 10.0  # time for a sink to write what waits at the end
POLL_S = 0.5


class Outlet:
    """Hands rows to a sink, in a thread of its own unless the sink is immediate.

    Args:
        name: of the sink in the status.
        sink: where the rows go; it is opened here, by the caller's thread.
        info: what will be written.
        status: given to the sink with every write; its counters for this sink are kept.
        limit: rows that may wait.
        hurry: once it is set, `put` waits for the sink no more.

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
        if not is_immediate(sink):
            self._thread = threading.Thread(target=self._serve, name=f"realm-{name}", daemon=True)
            self._thread.start()

    def put(self, outputs: Outputs, wait: bool) -> None:
        """Hand over rows; if the sink is slow, wait for it or drop the oldest rows."""
        if self._thread is None:
            self._write(outputs)
            return
        if not self._queue.put(outputs, len(outputs.bin), wait):
            self._untaken += len(outputs.bin)
        self.counts.dropped = self._queue.dropped + self._untaken

    def close(self) -> None:
        """Write what waits, then close the sink; stop waiting for it after `CLOSE_S`."""
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
        except Exception as error:  # no error of a sink stops decoding
            self._failed(error, len(outputs.bin))

    def _failed(self, error: Exception, rows: int) -> None:
        self.counts.failed += rows
        self.counts.errors += 1
        self.counts.last_error = f"{type(error).__name__}: {error}"
