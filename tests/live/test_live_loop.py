"""The loop against time: late samples, slow decoders and sinks, stops; nothing lost uncounted."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import numpy as np
import pytest
from live_cases import (
    NEUTRAL,
    PER_BIN,
    PLAIN,
    RATE_HZ,
    RecordingSink,
    ScriptedSource,
    blocks,
    bundle,
    check_what_always_holds,
    decoder,
    expect,
    run,
    signal,
)

from realm.live.loop import LiveLoop
from realm.streaming import Decoded, StreamingDecoder, StreamState

SAMPLES = 1000
VOLTS, TRUTH = signal(SAMPLES)
QUICK = dataclasses.replace(PLAIN, late_ms=20.0, hold_ms=100.0, longest_fill_s=10.0)


class SlowDecoder(StreamingDecoder):
    """One that stalls at certain steps."""

    def __init__(self, stalls: dict[int, float]) -> None:
        super().__init__(bundle())
        self._stalls, self._steps = stalls, 0

    def step(self, samples: Any, state: StreamState) -> tuple[Decoded, StreamState]:
        self._steps += 1
        time.sleep(self._stalls.get(self._steps, 0.0))
        return super().step(samples, state)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 250, SAMPLES])
@pytest.mark.parametrize("lookahead", [0, 3])
def test_live_is_offline_however_samples_arrive(size: int, lookahead: int) -> None:
    use = decoder(lookahead_bins=lookahead)
    rows, status = run(blocks(VOLTS, size, truth=TRUTH), use=use)
    np.testing.assert_array_equal(rows.behavior[:-1], use.forward(VOLTS).behavior)
    ends = np.arange(PER_BIN - 1, SAMPLES, PER_BIN)[: len(rows.bin) - 1]
    np.testing.assert_allclose(rows.time_s[:-1], 100 + ends / RATE_HZ, atol=1e-9)
    assert rows.time_s[-1] == pytest.approx(rows.time_s[-2] + 0.01)
    assert rows.bin.tolist() == list(range(SAMPLES // PER_BIN - lookahead + 1))
    expect(status, "samples")


def test_truth_goes_with_its_bin() -> None:
    sink = RecordingSink()
    run(blocks(VOLTS, truth=TRUTH), use=decoder(lookahead_bins=3), sink=sink)
    truth = np.concatenate([r.truth for r in sink.rows if r.truth is not None])
    np.testing.assert_array_equal(truth, TRUTH[PER_BIN - 1 :: PER_BIN][: len(truth)])


def test_a_live_source_is_decoded_as_it_comes() -> None:
    patient = dataclasses.replace(PLAIN, late_ms=10_000.0)  # on a busy machine nothing is late
    rows, status = run(blocks(VOLTS), patient, live=True)
    expect(status, "samples")
    np.testing.assert_array_equal(rows.behavior[~rows.held][:-1], decoder().forward(VOLTS).behavior)
    assert (rows.latency_ms[~rows.held][:-1] > 0).all()
    assert status["latency_ms"]["max"] == rows.latency_ms.max()


def test_late_samples_give_held_then_neutral_rows_and_each_bin_once() -> None:
    script = blocks(VOLTS)
    rows, status = run([*script[:50], 0.5, *script[50:]], QUICK, live=True)
    expect(status, "samples")  # they were late, not lost
    bins = status["bins"]
    held, late = np.flatnonzero(rows.held), np.flatnonzero(rows.neutral)[:-1]
    assert len(held) == bins["held"] > 0
    assert len(late) == bins["neutral_late"] - 1 > 0
    assert len(held) + len(late) == bins["late"]
    assert held[0] == 50  # straight after the last decoded row
    assert held[-1] < late[0]
    assert (rows.behavior[held] == rows.behavior[49]).all()
    assert rows.bin.tolist() == list(range(len(rows.bin)))
    clean = decoder().forward(VOLTS).behavior
    after = rows.bin[late[-1] + 1 : -1]
    np.testing.assert_array_equal(rows.behavior[late[-1] + 1 : -1], clean[after])


def test_a_source_that_dies_leaves_the_effector_neutral_at_the_rate_of_bins() -> None:
    sink, script = RecordingSink(), blocks(VOLTS[:250])
    loop = LiveLoop(decoder(), ScriptedSource([*script, 1.0], live=True), {"record": sink}, QUICK)
    loop.run()
    check_what_always_holds(sink, loop.status.final())
    rows = sink.all
    assert rows.neutral[-20:].all()
    np.testing.assert_allclose(np.diff(rows.time_s), 0.01, atol=1e-6)


def test_a_stalled_decoder_drops_the_oldest_and_counts_them() -> None:
    settings = dataclasses.replace(QUICK, queue_s=0.1, late_ms=5000.0)
    for numbered in (True, False):
        rows, status = run(
            blocks(VOLTS, numbered=numbered),
            settings,
            live=True,
            use=SlowDecoder({50: 0.5, 60: 0.3}),
        )
        samples = status["samples"]
        assert samples["dropped_queue"] >= 100
        assert samples["dropped"] == samples["dropped_queue"]
        assert samples["filled"] == samples["dropped_queue"]  # they became a gap, to the sample
        assert status["stream"]["gaps"] >= 1
        assert rows.bin.tolist() == list(range(SAMPLES // PER_BIN + 1))


def test_a_source_that_can_wait_loses_nothing_to_a_slow_decoder() -> None:
    settings = dataclasses.replace(QUICK, queue_s=0.05)
    rows, status = run(blocks(VOLTS), settings, use=SlowDecoder({5: 0.3, 6: 0.3}))
    expect(status, "samples")
    np.testing.assert_array_equal(rows.behavior[:-1], decoder().forward(VOLTS).behavior)


def test_a_slow_sink_loses_its_own_rows_alone() -> None:
    slow = RecordingSink(lambda nth: time.sleep(0.4 if nth == 3 else 0))
    quick = RecordingSink()
    settings = dataclasses.replace(PLAIN, sink_queue_s=0.1)
    loop = LiveLoop(
        decoder(),
        ScriptedSource(blocks(VOLTS), live=True),
        {"slow": slow, "quick": quick},
        settings,
    )
    status = loop.run().final()
    check_what_always_holds(slow, status)
    check_what_always_holds(quick, status)
    counts, given = status["sinks"]["slow"], status["bins"]["given"]
    assert counts["dropped"] > 0
    assert counts["written"] == len(slow.all.bin) == given - counts["dropped"]
    assert status["sinks"]["quick"] == {
        "written": given,
        "dropped": 0,
        "failed": 0,
        "errors": 0,
        "last_error": "",
    }


def test_at_maximum_speed_a_slow_sink_is_waited_for() -> None:
    slow = RecordingSink(lambda nth: time.sleep(0.002))
    settings = dataclasses.replace(PLAIN, sink_queue_s=0.05)
    rows, status = run(blocks(VOLTS), settings, sink=slow)
    assert len(rows.bin) == status["bins"]["given"] == SAMPLES // PER_BIN + 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("a bug")])
def test_a_sink_that_raises_loses_those_rows_and_goes_on(error: Exception) -> None:
    def fail(nth: int) -> None:
        if 10 <= nth < 20:
            raise error

    failing, other = RecordingSink(fail), RecordingSink()
    loop = LiveLoop(
        decoder(), ScriptedSource(blocks(VOLTS)), {"failing": failing, "other": other}, PLAIN
    )
    status = loop.run().final()
    check_what_always_holds(failing, status)
    counts = status["sinks"]["failing"]
    assert (counts["errors"], counts["failed"]) == (10, 10)
    assert counts["written"] == status["bins"]["given"] - 10
    assert type(error).__name__ in counts["last_error"]
    assert len(other.all.bin) == status["bins"]["given"]


def test_a_sink_that_cannot_be_opened_is_an_error_and_closes_the_others() -> None:
    class Closed(RecordingSink):
        def open(self, info: Any) -> None:
            raise OSError("no such folder")

    good = RecordingSink()
    source = ScriptedSource(blocks(VOLTS))
    with pytest.raises(OSError, match="no such folder"):
        LiveLoop(decoder(), source, {"good": good, "bad": Closed()}, PLAIN).run()
    assert (good.closed, source.opened) == (1, 0)


def test_a_sink_that_cannot_be_closed_is_counted() -> None:
    class Stuck(RecordingSink):
        def close(self) -> None:
            super().close()
            raise OSError("disk full")

    _, status = run(blocks(VOLTS), sink=Stuck())
    assert status["sinks"]["record"]["last_error"] == "OSError: disk full"


def test_an_error_of_the_source_ends_in_order() -> None:
    sink = RecordingSink()
    script = [*blocks(VOLTS)[:100], ZeroDivisionError("a bug")]
    loop = LiveLoop(decoder(), ScriptedSource(script), {"record": sink}, PLAIN)
    with pytest.raises(ZeroDivisionError):
        loop.run()
    status = loop.status.final()
    check_what_always_holds(sink, status)
    assert status["samples"]["decoded"] == 500


@pytest.mark.parametrize("live", [True, False])
def test_a_stop_decodes_what_was_read_and_ends_neutral(live: bool) -> None:
    sink = RecordingSink()
    volts, _ = signal(20_000)
    source = ScriptedSource(blocks(volts), live)
    loop = LiveLoop(decoder(), source, {"record": sink}, PLAIN)
    threading.Timer(0.3, loop.stop).start()
    status = loop.run().final()
    check_what_always_holds(sink, status)
    assert source.closed
    assert 0 < status["samples"]["decoded"] < 20_000
    assert (
        status["samples"]["decoded"]
        == status["samples"]["received"] - (status["samples"]["dropped_stopped"])
    )
    np.testing.assert_array_equal(sink.all.behavior[-1], NEUTRAL)


def test_nothing_is_said_of_a_source_that_never_comes() -> None:
    from live_cases import Opening

    from realm.live.sources import SourceLostError

    heard: list[str] = []
    waiting = [Opening(SourceLostError("no stream called amplifier"))] * 5
    _, status = run([*waiting, *blocks(VOLTS)], say=heard.append)
    expect(status, "stream", connected=1)
    assert heard[0] == "waiting: no stream called amplifier"
    assert sum("no stream" in text for text in heard) == 1


def test_memory_does_not_grow_with_time() -> None:
    import tracemalloc

    class Forgetful(RecordingSink):
        def write(self, outputs: Any, status: Any) -> None:
            pass

    def source() -> ScriptedSource:
        endless = ScriptedSource(blocks(VOLTS[:500], 50))
        script = endless._script

        def read(timeout_s: float) -> Any:
            read.n += 1  # type: ignore[attr-defined]
            if read.n in (100, 1000):  # type: ignore[attr-defined]
                taken.append(tracemalloc.get_traced_memory()[0])
            if read.n == 1000:  # type: ignore[attr-defined]
                endless._script = []
                return ScriptedSource.read(endless, timeout_s)
            block = script[read.n % 10]  # type: ignore[attr-defined]
            at = 50 * read.n  # type: ignore[attr-defined]
            return block._replace(first_index=at, times_s=at / RATE_HZ + np.arange(50) / RATE_HZ)

        read.n = 0  # type: ignore[attr-defined]
        endless.read = read  # type: ignore[method-assign, assignment]
        return endless

    taken: list[int] = []
    loop = LiveLoop(decoder(), source(), {"none": Forgetful()}, PLAIN)
    tracemalloc.start()  # not while other threads run: that crashes the interpreter
    try:
        status = loop.run().final()
    finally:
        tracemalloc.stop()
    assert status["samples"]["decoded"] == 999 * 50
    assert taken[1] - taken[0] < 1_000_000  # on its way; 9,000 rows alone would be more


def test_a_stop_does_not_decode_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realm.live.decoding.END_S", 0.0)
    sink = RecordingSink()
    settings = dataclasses.replace(PLAIN, queue_s=60.0, late_ms=50_000.0)
    source = ScriptedSource(blocks(VOLTS), live=True)
    loop = LiveLoop(SlowDecoder(dict.fromkeys(range(3, 1000), 0.05)), source, {"r": sink}, settings)
    threading.Timer(0.5, loop.stop).start()
    status = loop.run().final()
    check_what_always_holds(sink, status)
    assert status["samples"]["dropped_stopped"] > 0
