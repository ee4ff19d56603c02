"""A step that is rehearsed leaves no trace: no output, no count, no bit of the state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from live_cases import PLAIN, RATE_HZ, decoder, signal

from realm.live.reader import Arrival
from realm.live.rehearsal import LATE, LEAST_S, MARGIN_S, Rehearsal
from realm.live.status import Status
from realm.live.stream import Stream
from realm.streaming.state import to_bytes

DIMS = 2


def arrival(first: int, n: int, arrived_s: float = 100.0) -> Arrival:
    volts = signal(2000)[0][first : first + n]
    rows = np.concatenate([volts, np.full((n, DIMS), np.nan)], axis=1)
    return Arrival(rows, 50 + (first + np.arange(n)) / RATE_HZ, first, 1, arrived_s)


@pytest.mark.parametrize("numbered", [True, False])
def test_a_rehearsal_leaves_no_trace(numbered: bool) -> None:
    decoded = {}
    for rehearsed in (False, True):
        stream = Stream(decoder(), PLAIN, status := Status(), present=False)
        rehearsal = Rehearsal(decoder(), PLAIN)
        rows = []
        for first in range(0, 1000, 7):
            block = arrival(first, 7)
            block = block if numbered else block._replace(first_index=None)
            rows += stream.take(block.rows, block.times_s, block.first_index, 0)[0]
            before = to_bytes(stream.state, "")
            if rehearsed:
                rehearsal.expect(block)
                rehearsal.run(stream.state)
            assert to_bytes(stream.state, "") == before
        behavior = np.concatenate([row.behavior for row in rows])
        made = status.final()
        del made["bins"]["misses"]  # of the deadline: what this machine did, not what was decoded
        decoded[rehearsed] = behavior.tobytes(), made["samples"], made["stream"], made["bins"]
        assert len(behavior) == decoder().n_outputs(made["samples"]["decoded"])
    assert decoded[True] == decoded[False]


def test_a_rehearsal_does_what_the_next_samples_need() -> None:
    stream = Stream(decoder(), PLAIN, Status(), present=False)
    rehearsal = Rehearsal(decoder(), PLAIN)
    block = arrival(0, 10)
    stream.take(block.rows, block.times_s, 0, 0)
    rehearsal.expect(block)
    rehearsal.run(stream.state)
    after, ahead = stream.state, rehearsal._double.state
    assert ahead.bins.heard == after.bins.heard + 10
    assert ahead.timeline.numbers.tolist()[0] == 20  # the number after those it rehearsed


def test_it_is_due_shortly_before_samples_are_expected() -> None:
    rehearsal = Rehearsal(decoder(), PLAIN)
    assert rehearsal.due_s == math.inf
    rehearsal.run(Stream(decoder(), PLAIN, Status(), present=False).state)  # nothing heard yet
    rehearsal.expect(arrival(0, 10, arrived_s=7.0))
    lead_s = 7.0 + 10 / RATE_HZ - rehearsal.due_s
    assert lead_s == pytest.approx((1 + LATE) * MARGIN_S)
    rehearsal.expect(arrival(10, int(LEAST_S * RATE_HZ)))
    assert rehearsal.due_s == math.inf  # soon enough to find everything still at hand
