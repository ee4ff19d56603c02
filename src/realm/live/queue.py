"""A queue between threads that never grows beyond a limit and counts what it drops."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
HURRY_S = 0.2  # how often a thread that waits for room looks whether it may


class Taken(NamedTuple, Generic[T]):
    """One item of the queue."""

    item: T
    lost: int  # what was dropped between the item before and this one


class BoundedQueue(Generic[T]):
    """Items of a certain size in order; the oldest are dropped when they are too many.

    Items of size zero (messages) are never dropped. One item that is larger than the limit by
    itself is taken when nothing else waits.

    Args:
        limit: sum of the sizes that may wait.
        hurry: once it is set, nothing waits for room any longer.

    Attributes:
        dropped: sum of the sizes that were dropped since the beginning.
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
        """Whether nothing waits."""
        return not self._items

    def wait(self, timeout_s: float) -> None:
        """Wait until something is there, at most for this time."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout_s)

    def get(self, timeout_s: float) -> Taken[T] | None:
        """The oldest item; None if there is none within this time."""
        with self._changed:
            self.wait(timeout_s)
            if not self._items:
                return None
            item, size, lost = self._items.popleft()
            self.waiting -= size
            self._changed.notify_all()
            return Taken(item, lost)

    def close(self) -> None:
        """Take nothing more; what waits can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self, size: int) -> bool:
        return self.waiting > 0 and self.waiting + size > self._limit

    def _drop_oldest(self) -> bool:
        """Drop the oldest item with a size, but not the last such one."""
        sized = [at for at, (_, size, _) in enumerate(self._items) if size]
        if len(sized) < 2:
            return False
        at, after = sized[0], sized[1]
        _, size, lost = self._items[at]
        del self._items[at]
        item, its_size, before = self._items[after - 1]
        self._items[after - 1] = (item, its_size, before + lost + size)
        self.waiting -= size
        self.dropped += size
        return True
