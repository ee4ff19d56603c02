"""Which thread decodes, and that it makes no difference to what comes out."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import numpy as np
import pytest
from live_cases import (
    PER_BIN,
    PLAIN,
    RATE_HZ,
    RecordingSink,
    ScriptedSource,
    blocks,
    check_what_always_holds,
    decoder,
    run,
    signal,
)

from realm.live.loop import LiveLoop
from realm.streaming import Decoded, StreamingDecoder, StreamState

SAMPLES = 500
VOLTS, _ = signal(SAMPLES)
PATIENT = dataclasses.replace(PLAIN, late_ms=10_000.0)  # on a busy machine nothing is late


class Watched(StreamingDecoder):
    """Notes which thread decodes; is slow where told."""

    def __init__(self, stall_s: float = 0.0) -> None:
        super().__init__(decoder().bundle)
        self.threads: list[str] = []
        self._stall_s = stall_s

    def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
        self.threads.append(threading.current_thread().name)
        time.sleep(self._stall_s)
        return super().step(samples, state)


class ImmediateSink(RecordingSink):
    """Is written to by the thread that decodes."""

    immediate = True

    def __init__(self, fails: bool = False) -> None:
        super().__init__(lambda nth: self._note(nth))
        self.threads: set[str] = set()
        self._fails = fails

    def _note(self, nth: int) -> None:
        self.threads.add(threading.current_thread().name)
        if self._fails and nth == 3:
            raise OSError("no room")


def test_whoever_reads_a_live_source_decodes_it_as_long_as_that_keeps_up() -> None:
    watched = Watched()
    rows, _ = run(blocks(VOLTS, 50), PATIENT, live=True, use=watched)
    assert "realm-reader" in watched.threads
    np.testing.assert_array_equal(rows.behavior[~rows.held][:-1], decoder().forward(VOLTS).behavior)


def test_a_file_is_read_ahead_of_decoding() -> None:
    watched = Watched()
    run(blocks(VOLTS, 50), use=watched)
    assert set(watched.threads) == {threading.current_thread().name}


def test_reading_goes_on_where_decoding_does_not_keep_up() -> None:
    watched = Watched(stall_s=5 * PER_BIN / RATE_HZ)
    settings = dataclasses.replace(PATIENT, queue_s=0.05)
    _, status = run(blocks(VOLTS), settings, live=True, use=watched)
    assert watched.threads.count("realm-reader") <= 3  # tried again once a second
    samples = status["samples"]
    assert samples["received"] == SAMPLES
    assert samples["dropped_queue"] > 0
    assert samples["received"] == samples["decoded"] + samples["dropped_queue"]


def test_what_goes_wrong_in_the_thread_that_reads_is_said_by_run() -> None:
    class Broken(Watched):
        def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
            if len(self.threads) >= 3 and threading.current_thread().name == "realm-reader":
                raise ValueError("broken on purpose")
            return super().step(samples, state)

    sink = RecordingSink()
    loop = LiveLoop(Broken(), ScriptedSource(blocks(VOLTS, 50), live=True), {"r": sink}, PATIENT)
    with pytest.raises(ValueError, match="broken on purpose"):
        loop.run()
    assert loop.status.state == "ended"
    assert sink.closed == 1


def test_an_immediate_sink_gets_the_same_rows_from_the_thread_that_decodes() -> None:
    immediate, usual = ImmediateSink(), RecordingSink()
    loop = LiveLoop(
        decoder(),
        ScriptedSource(blocks(VOLTS, 50), live=True),
        {"immediate": immediate, "usual": usual},
        PATIENT,
    )
    status = loop.run().final()
    for sink in (immediate, usual):
        check_what_always_holds(sink, status)
    for one, other in zip(immediate.all[:-1], usual.all[:-1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert immediate.threads <= {"realm-reader", threading.current_thread().name}
    assert status["sinks"]["immediate"] == status["sinks"]["usual"]


def test_what_an_immediate_sink_refuses_is_counted_and_decoding_goes_on() -> None:
    broken, usual = ImmediateSink(fails=True), RecordingSink()
    loop = LiveLoop(
        decoder(),
        ScriptedSource(blocks(VOLTS, 50), live=True),
        {"broken": broken, "usual": usual},
        PATIENT,
    )
    status = loop.run().final()
    check_what_always_holds(usual, status)
    counts = status["sinks"]["broken"]
    assert counts["errors"] == 1
    assert counts["failed"] == 10
    assert counts["last_error"] == "OSError: no room"
    assert counts["written"] + counts["failed"] == status["sinks"]["usual"]["written"]
    assert broken.closed == 1
