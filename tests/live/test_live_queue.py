"""The bounded queue: order, limits, and exact counts of what is dropped."""

from __future__ import annotations

import threading

import numpy as np

from realm.live.queues import BoundedQueue


def queue(limit: int, hurry: threading.Event | None = None) -> BoundedQueue[str]:
    return BoundedQueue(limit, hurry or threading.Event())


def drained(q: BoundedQueue[str]) -> list[tuple[str, int]]:
    found = []
    while (taken := q.get(0)) is not None:
        found.append((taken.item, taken.lost))
    return found


def test_the_oldest_are_dropped_and_the_next_says_how_much() -> None:
    q = queue(10)
    for name in "abcdef":
        assert q.put(name, 4)
    assert (q.waiting, q.dropped) == (8, 16)
    assert drained(q) == [("e", 16), ("f", 0)]
    assert q.put("g", 4)
    assert drained(q) == [("g", 0)]


def test_messages_are_never_dropped() -> None:
    q = queue(10)
    q.put("opened")
    for name in "abc":
        q.put(name, 8)
    q.put("lost")
    assert drained(q) == [("opened", 0), ("c", 16), ("lost", 0)]


def test_one_that_is_too_large_is_taken_when_nothing_else_waits() -> None:
    q = queue(10)
    assert q.put("huge", 100, wait=True)
    assert drained(q) == [("huge", 0)]


def test_a_closed_queue_takes_nothing_and_gives_the_rest() -> None:
    q = queue(10)
    q.put("a", 1)
    q.close()
    assert not q.put("b", 1)
    assert drained(q) == [("a", 0)]


def test_who_waits_for_room_loses_nothing() -> None:
    q, got = queue(5), []

    def consume() -> None:
        while (taken := q.get(5)) is not None and taken.item != "end":
            got.append((taken.item, taken.lost))

    thread = threading.Thread(target=consume)
    thread.start()
    for n in range(500):
        assert q.put(str(n), 3, wait=True)
        assert q.waiting <= 5
    q.put("end")
    thread.join(10)
    assert got == [(str(n), 0) for n in range(500)]
    assert q.dropped == 0


def test_in_a_hurry_nobody_waits() -> None:
    hurry = threading.Event()
    q = queue(5, hurry)
    q.put("a", 5)
    hurry.set()
    assert not q.put("b", 5, wait=True)
    assert drained(q) == [("a", 0)]


def test_everything_put_is_got_or_counted_whatever_the_order() -> None:
    rng, q = np.random.default_rng(0), queue(20)
    put = got = lost = 0
    for _ in range(5000):
        if rng.random() < 0.6:
            size = int(rng.integers(0, 8))
            put += size
            q.put(str(size), size)
        elif (taken := q.get(0)) is not None:
            got += int(taken.item)
            lost += taken.lost
        assert q.waiting <= 20
        assert put == got + q.dropped + q.waiting
    while (taken := q.get(0)) is not None:
        got += int(taken.item)
        lost += taken.lost
    assert put == got + lost
    assert lost == q.dropped


def test_dropping_the_oldest_takes_no_longer_with_more_of_them() -> None:
    looked = []

    class Watched(BoundedQueue[int]):
        def _drop_oldest(self) -> bool:
            looked.append(len(self._items))
            return super()._drop_oldest()

    queue = Watched(5000, threading.Event())
    for i in range(20_000):
        queue.put(i, 1)
    assert queue.waiting == 5000
    assert queue.dropped == 15_000
    taken = queue.get(0.0)
    assert taken is not None
    assert (taken.item, taken.lost) == (15_000, 15_000)
