"""Samples from LSL and behavior to LSL, over loopback."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streaming.streaming_cases import CHANNELS, bundle
from streaming.streaming_cases import RATE_HZ as BUNDLE_RATE_HZ

pylsl = pytest.importorskip("pylsl")

from realm.live.check import match  # noqa: E402
from realm.live.clock import now_s  # noqa: E402
from realm.live.loop import LiveLoop  # noqa: E402
from realm.live.outputs import OutputInfo, Outputs  # noqa: E402
from realm.live.registry import make_sink, make_source  # noqa: E402
from realm.live.settings import LiveSettings  # noqa: E402
from realm.live.sinks import Counters  # noqa: E402
from realm.live.sinks.lsl import LSLSink  # noqa: E402
from realm.live.sources import Block, SourceLostError  # noqa: E402
from realm.live.sources.lsl import LSLSource, standard_unit  # noqa: E402
from realm.streaming import StreamingDecoder  # noqa: E402

PATIENCE_S = 60.0
RATE_HZ = 1000.0

SENDER = """
import random, sys, time, pylsl
name, n, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
info = pylsl.StreamInfo(name, "LFP", n, rate, "float32", name + "-id")
channels = info.desc().append_child("channels")
for k in range(n):
    channel = channels.append_child("channel")
    channel.append_child_value("label", f"ch{k}")
    channel.append_child_value("unit", "uV")
outlet = pylsl.StreamOutlet(info)
start, sent = pylsl.local_clock(), 0
while True:
    block = [[random.gauss(0.0, 50.0) for _ in range(n)] for _ in range(10)]
    sent += 10
    due = start + (sent - 1) / rate
    time.sleep(max(0.0, due - pylsl.local_clock()))
    outlet.push_chunk(block, due)
"""


def patient(name: str, **options: Any) -> LSLSource:
    """A source; a busy machine may take long to answer, but nothing waits for the time to pass."""
    return LSLSource(name, open_s=10.0, **options)


@pytest.fixture
def name() -> str:
    """A stream's name that nothing else on the network has."""
    return f"realm-test-{uuid.uuid4().hex}"


@pytest.fixture
def senders() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that send; those left are stopped."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        each.kill()
        each.wait()


def outlet(
    name: str,
    labels: Sequence[str] | None = ("a", "b", "c"),
    units: Sequence[str] = ("microvolts",) * 3,
    rate_hz: float = RATE_HZ,
    source_id: str = "one",
    number: str = "float32",
) -> pylsl.StreamOutlet:
    info = pylsl.StreamInfo(name, "LFP", 3, rate_hz, number, source_id)
    channels = info.desc().append_child("channels")
    for index in range(3):
        channel = channels.append_child("channel")
        if labels:
            channel.append_child_value("label", labels[index])
        if units:
            channel.append_child_value("unit", units[index])
    return pylsl.StreamOutlet(info)


def push(sender: pylsl.StreamOutlet, samples: np.ndarray, times_s: np.ndarray) -> None:
    assert sender.wait_for_consumers(PATIENCE_S)
    for row, time_s in zip(samples.tolist(), times_s.tolist(), strict=True):
        sender.push_sample(row, time_s)


def read_until(source: LSLSource, last_s: float) -> Block:
    """All samples up to the one that was taken at `last_s`."""
    blocks: list[Block] = []
    deadline = now_s() + PATIENCE_S
    while not blocks or blocks[-1].times_s[-1] < last_s:
        assert now_s() < deadline, "samples that were sent did not arrive"
        block = source.read(0.1)
        blocks += [] if block is None else [block]
    return Block(
        np.concatenate([b.samples for b in blocks]), np.concatenate([b.times_s for b in blocks])
    )


def opened(source: LSLSource) -> LSLSource:
    """Open it, however long a busy machine takes to answer."""
    deadline = now_s() + PATIENCE_S
    while True:
        try:
            source.open()
            return source
        except SourceLostError:
            assert now_s() < deadline


def send(name: str, channels: int, rate_hz: float = RATE_HZ) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SENDER, name, str(channels), str(rate_hz)]
    return subprocess.Popen(command)


def test_its_clock_is_ours() -> None:
    before, lsl, after = now_s(), pylsl.local_clock(), now_s()
    assert before <= lsl <= after


def test_samples_and_times_arrive_as_they_were_sent(name: str) -> None:
    sender = outlet(name, units=("microvolts", "µV", "uV"))
    source = patient(name)
    info = source.open()
    assert info.channel_names == ("a", "b", "c")
    assert (info.name, info.sampling_rate_hz, info.unit) == (name, RATE_HZ, "uV")
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(500, 3)).astype(np.float32)
    samples[7, 1] = np.nan
    times = now_s() + np.cumsum(rng.uniform(0, 0.002, 500))  # jitter stays
    push(sender, samples, times)
    got = read_until(source, times[-1])
    np.testing.assert_array_equal(got.samples, samples)
    np.testing.assert_array_equal(got.times_s, times)
    assert got.samples.dtype == np.float32
    assert got.first_index is None
    assert source.read(0.01) is None
    source.close()
    source.close()
    with pytest.raises(SourceLostError, match="not open"):
        source.read(0.0)


def test_whole_numbers_become_real_ones(name: str) -> None:
    sender = outlet(name, number="int16")
    source = opened(patient(name))
    now = now_s()
    push(sender, np.array([[1, -2, 32767]]), np.array([now]))
    got = read_until(source, now)
    assert got.samples.dtype == np.float64
    assert got.samples.tolist() == [[1, -2, 32767]]


def test_blocks_do_not_change_when_the_next_is_read(name: str) -> None:
    sender = outlet(name)
    source = opened(patient(name))
    now = now_s()
    push(sender, np.full((1, 3), 1.0), np.array([now]))
    first = read_until(source, now)
    push(sender, np.full((1, 3), 2.0), np.array([now + 1]))
    read_until(source, now + 1)
    assert first.samples.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"labels": None}, "a label for each of its 3 channels, got 0"),
        ({"units": ()}, "a unit .* got none"),
        ({"units": ("furlong",) * 3}, "a unit .* got furlong"),
        ({"rate_hz": 0.0}, "regular rate"),
        ({"number": "string"}, "expected numbers"),
    ],
)
def test_a_stream_that_cannot_be_used_is_refused(
    name: str, sent: dict[str, object], message: str
) -> None:
    sender = outlet(name, **sent)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        patient(name).open()
    del sender


def test_what_the_command_line_says_arrives() -> None:
    text = "lsl:Amp?type=LFP&source_id=7&unit=mV&channel_names=a, b"
    expected = LSLSource("Amp", "LFP", "7", "mV", ("a", "b"))
    assert vars(make_source(text)).keys() == vars(expected).keys()
    for key, value in vars(make_source(text)).items():
        np.testing.assert_array_equal(value, vars(expected)[key])
    assert make_sink("lsl:Decoded").name == "Decoded"  # type: ignore[attr-defined]
    assert make_sink("lsl").name == "realm"  # type: ignore[attr-defined]


@pytest.mark.parametrize("units", [("uV", "mV", "trigger"), ("uV", "mV", "")])
def test_each_channel_has_its_unit_and_what_is_not_needed_may_have_any(
    name: str, units: tuple[str, ...]
) -> None:
    sender = outlet(name, units=units)
    info = patient(name).open()
    fit = match(info, ("b", "a"), RATE_HZ)
    np.testing.assert_allclose(fit.apply(np.array([[1.0, 2.0, 9.0]])), [[2e-3, 1e-6]])
    with pytest.raises(ValueError, match=f"got '{units[2] or 'none'}'"):
        match(info, ("a", "c"), RATE_HZ)
    del sender


def test_a_channel_without_a_label_may_be_there(name: str) -> None:
    sender = outlet(name, labels=("a", "b", ""))
    info = patient(name).open()
    assert match(info, ("a", "b"), RATE_HZ).extra == ("",)
    del sender


def test_labels_and_unit_can_be_given(name: str) -> None:
    sender = outlet(name, labels=None, units=())
    info = patient(name, unit="mV", channel_names=("x", "y", "z")).open()
    assert (info.channel_names, info.unit) == (("x", "y", "z"), "mV")
    with pytest.raises(ValueError, match="label for each of its 3 channels, got 2"):
        patient(name, unit="mV", channel_names=("x", "y")).open()
    with pytest.raises(ValueError, match="expected unit as one of"):
        patient(name, unit="volts")
    del sender


def test_two_streams_of_one_name_are_told_apart_by_their_source_id(name: str) -> None:
    one, two = outlet(name, source_id="one"), outlet(name, ("d", "e", "f"), source_id="two")
    with pytest.raises(ValueError, match="found 2 with the source ids one, two"):
        patient(name).open()
    assert patient(name, source_id="two").open().channel_names == ("d", "e", "f")
    del one, two


def test_a_stream_that_is_not_there_may_come_later(name: str) -> None:
    with pytest.raises(SourceLostError, match=f"no stream with name='{name}'"):
        LSLSource(name, open_s=0.1).open()
    with pytest.raises(ValueError, match="both kinds of quotes"):
        LSLSource('it\'s "quoted"')


def test_a_killed_sender_is_noticed_and_may_return_with_other_channels(
    name: str, senders: list[subprocess.Popen[bytes]]
) -> None:
    senders.append(send(name, 4))
    source = opened(patient(name))
    deadline = now_s() + PATIENCE_S
    while source.read(0.1) is None:
        assert now_s() < deadline
    senders[0].kill()
    with pytest.raises(SourceLostError, match="was lost"):
        read_until(source, math.inf)
    senders.append(send(name, 5))
    while True:
        try:
            info = source.open()
            break
        except SourceLostError:
            assert now_s() < deadline
    assert info.channel_names == ("ch0", "ch1", "ch2", "ch3", "ch4")
    while (block := source.read(0.1)) is None:
        assert now_s() < deadline
    assert block.samples.shape[1] == 5


def test_what_liblsl_drops_while_nothing_reads_is_a_gap_in_the_times(name: str) -> None:
    sender = outlet(name)
    source = opened(patient(name, buffer_s=1))
    times = now_s() + np.arange(5000) / RATE_HZ
    push(sender, np.zeros((10, 3)), times[:10])
    got = [read_until(source, times[9]).times_s]
    push(sender, np.zeros((4990, 3)), times[10:])
    time.sleep(0.5)  # stalled
    got.append(read_until(source, times[-1]).times_s)
    arrived = np.concatenate(got)
    missing = np.rint(np.diff(arrived) * RATE_HZ).astype(int) - 1
    assert missing.sum() == 5000 - len(arrived) > 0


def test_stamps_of_another_machine_are_moved_to_this_clock(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = outlet(name)
    source = opened(patient(name))
    monkeypatch.setattr(source._inlet, "time_correction", lambda timeout: 100.0)
    now = now_s()
    push(sender, np.zeros((1, 3)), np.array([now - 100.0]))
    assert read_until(source, now - 0.01).times_s.tolist() == pytest.approx([now], abs=1e-6)


@pytest.mark.parametrize(
    ("told", "unit"),
    [
        ("V", "V"),
        ("Volts", "V"),
        ("mV", "mV"),
        ("µV", "uV"),
        ("μV", "uV"),
        ("nanovolts", "nV"),
        ("MV", None),
        ("megavolts", None),
        ("", None),
        ("K", None),
    ],
)
def test_spellings_of_units(told: str, unit: str | None) -> None:
    assert standard_unit(told) == unit


INFO = OutputInfo("rat-1", ("x", "y"), "m/s", ("a", "b", "c"), 10.0, 0.0, "ab" * 32)


def outputs(first_bin: int, bins: int) -> Outputs:
    rows = np.arange(first_bin, first_bin + bins)
    return Outputs(
        bin=rows,
        time_s=rows * 0.01 + 1000.0,
        behavior=np.stack([rows * 0.5, -rows], axis=1),
        latency_ms=rows * 0.125,
        filled_share=np.zeros(bins),
        bad_channels=rows % 3,
        clipped_channels=np.zeros(bins, np.int64),
        gap=np.zeros(bins, bool),
        neutral=rows % 2 == 0,
        held=rows % 5 == 0,
        filled=np.zeros((bins, 3)),
    )


def test_behavior_is_sent_with_its_flags_and_times(name: str) -> None:
    sink = LSLSink(name)
    with pytest.raises(OSError, match="not open"):
        sink.write(outputs(0, 1), dict)
    sink.open(INFO)
    (found,) = pylsl.resolve_byprop("name", name, timeout=PATIENCE_S)
    inlet = pylsl.StreamInlet(found, recover=False)
    described = inlet.info(PATIENCE_S)
    flags = ["bin", "neutral", "held", "bad_channels", "latency_ms"]  # what consumers know
    assert described.get_channel_labels() == ["x", "y", *flags]
    assert described.get_channel_units()[:3] == ["m/s", "m/s", "count"]
    assert (described.type(), described.nominal_srate()) == ("Behavior", 100.0)
    assert described.desc().child("decoder").child_value("bundle_sha256") == INFO.bundle_sha256
    inlet.open_stream(PATIENCE_S)
    for first in range(0, 100, 10):
        sink.write(outputs(first, 10), dict)
    sent, got, stamps = outputs(0, 100), [], []
    while len(got) < 100:
        row, stamp = inlet.pull_sample(PATIENCE_S)
        assert row is not None
        got.append(row)
        stamps.append(stamp)
    values = [getattr(sent, flag) for flag in flags]
    np.testing.assert_array_equal(got, np.column_stack([sent.behavior, *values]))
    np.testing.assert_array_equal(stamps, sent.time_s)
    sink.close()
    sink.close()
    with pytest.raises(pylsl.util.LostError):
        inlet.pull_sample(PATIENCE_S)


def test_its_source_id_survives_a_restart(name: str) -> None:
    ids = []
    for _ in range(2):
        sink = LSLSink(name)
        sink.open(INFO)
        (found,) = pylsl.resolve_byprop("name", name, timeout=PATIENCE_S)
        ids.append(found.source_id())
        sink.close()
    assert ids[0] == ids[1] != ""


class Kept:
    """A sink that keeps all rows."""

    def __init__(self) -> None:
        self.rows: list[Outputs] = []

    def open(self, info: OutputInfo) -> None:
        pass

    def write(self, outputs: Outputs, status: Counters) -> None:
        self.rows.append(outputs)

    def close(self) -> None:
        pass

    def all(self) -> Outputs:
        without_truth = [rows[:-1] for rows in self.rows]
        return Outputs(*map(np.concatenate, zip(*without_truth, strict=True)))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = now_s() + PATIENCE_S
    while not condition():
        assert now_s() < deadline
        time.sleep(0.02)


def test_decoding_outlives_senders_that_die_and_return_otherwise(
    name: str, senders: list[subprocess.Popen[bytes]]
) -> None:
    kept = Kept()
    settings = LiveSettings(check_s=0.2, retry_s=0.05)
    decoder = StreamingDecoder(bundle())
    loop = LiveLoop(decoder, patient(name), {"kept": kept}, settings)
    running = threading.Thread(target=loop.run, daemon=True)
    running.start()
    stream, bins = loop.status.stream, loop.status.bins
    senders.append(send(name, CHANNELS, BUNDLE_RATE_HZ))
    wait_for(lambda: bins.decoded > bins.neutral_unchecked)
    senders[-1].kill()
    wait_for(lambda: stream.lost > 0)
    senders.append(send(name, CHANNELS - 1, BUNDLE_RATE_HZ))
    wait_for(lambda: stream.refused > 0)
    senders[-1].kill()
    senders.append(send(name, CHANNELS + 1, BUNDLE_RATE_HZ))
    wait_for(lambda: stream.connected == 2)
    decoded = bins.decoded
    wait_for(lambda: bins.decoded > decoded)
    loop.stop()
    running.join(PATIENCE_S)
    samples = loop.status.samples
    assert samples.received == samples.decoded + samples.dropped
    assert stream.extra_channels == 1
    rows = kept.all()
    assert np.isfinite(rows.behavior).all()
    assert (np.diff(rows.bin) > 0).all()
    assert (rows.behavior[rows.neutral] == decoder.bundle.neutral).all()
    assert rows.neutral.any()
    assert not rows.neutral.all()


@pytest.mark.slow
def test_the_benchmark_of_the_latency_accounts_for_every_sample(tmp_path: Path) -> None:
    root, out = Path(__file__).parents[2], tmp_path / "latency.json"
    command = [sys.executable, "-m", "benchmarks.live_latency", "--minutes", "0.04"]
    subprocess.run([*command, "--out", str(out)], cwd=root, timeout=120, check=True)
    result = json.loads(out.read_text())
    assert result["samples"]["sent"] == result["samples"]["received"] == 2400
    assert result["samples"]["lost"] == 0
    assert result["bins"]["decoded"] > 0
    for delay in ("after_push_ms", "after_stamp_ms"):
        assert 0 < result[delay]["p50"] <= result[delay]["max"]


def test_times_of_another_clock_are_refused(name: str) -> None:
    sender = outlet(name)
    source = opened(patient(name))
    push(sender, np.zeros((3, 3)), time.time() + np.arange(3) / RATE_HZ)
    with pytest.raises(ValueError, match=r"local_clock\(\) in LSL.* ahead; correct the sender"):
        read_until(source, math.inf)
    source.close()
