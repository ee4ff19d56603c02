"""The messages of samples and behavior, and what listens and sends over ZeroMQ, on loopback."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

zmq = pytest.importorskip("zmq")

from realm.live.clock import now_s  # noqa: E402
from realm.live.outputs import OutputInfo, Outputs  # noqa: E402
from realm.live.registry import make_sink, make_source  # noqa: E402
from realm.live.sinks.zmq import ZMQSink  # noqa: E402
from realm.live.sources import Block, SourceLostError, StreamInfo  # noqa: E402
from realm.live.sources.zmq import ZMQSource  # noqa: E402
from realm.live.zmq_format import (  # noqa: E402
    BEHAVIOR_TOPIC,
    LARGEST_FRAME,
    SAMPLES_TOPIC,
    decode_samples,
    encode_samples,
)

PATIENCE_S = 30.0
INFO = StreamInfo("amplifier", ("a", "µ", "c"), 1000.0, "uV")

SENDER = """
import sys, time, numpy as np, zmq
from realm.live.sources import StreamInfo
from realm.live.zmq_format import encode_samples
n, stream_id = int(sys.argv[2]), sys.argv[3]
info = StreamInfo("amplifier", tuple(f"ch{k}" for k in range(n)), 1000.0, "uV")
socket = zmq.Context().socket(zmq.PUB)
socket.bind(sys.argv[1])
first = 0
while True:
    times = time.monotonic() + np.arange(-9, 1) / 1000
    socket.send_multipart(encode_samples(info, stream_id, first, np.zeros((10, n)), times))
    first += 10
    time.sleep(0.01)
"""


def message(first: int = 0, n: int = 4, info: StreamInfo = INFO, **changes: Any) -> list[bytes]:
    """A good message, with some entries of its header changed."""
    samples = first + np.arange(n * len(info.channel_names), dtype=np.float32)
    samples = samples.reshape(n, len(info.channel_names))
    times = now_s() + np.arange(n) / 1000
    frames = encode_samples(info, "started-once", first, samples, times)
    if changes:
        header = {**json.loads(frames[1]), **changes}
        frames[1] = json.dumps({k: v for k, v in header.items() if v is not None}).encode()
    return frames


class Publisher:
    """A sender in this process that knows when somebody listens."""

    def __init__(self, address: str = "tcp://127.0.0.1:*") -> None:
        self.socket = zmq.Context.instance().socket(zmq.XPUB)
        self.socket.bind(address)
        self.address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    @contextlib.contextmanager
    def sending_to_listener(self, *messages: list[bytes]) -> Iterator[None]:
        """Meanwhile, wait for a new listener and send; a socket belongs to one thread at a time."""
        sending = threading.Thread(target=self._send_to_listener, args=messages)
        sending.start()
        try:
            yield
        finally:
            sending.join()

    def _send_to_listener(self, *messages: list[bytes]) -> None:
        assert self.socket.poll(1000 * PATIENCE_S)
        assert self.socket.recv()[:1] == b"\x01"
        self.send(*messages)

    def send(self, *messages: list[bytes]) -> None:
        for frames in messages:
            self.socket.send_multipart(frames)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.socket.close(linger=0)


def opened(publisher: Publisher, *messages: list[bytes], open_s: float = PATIENCE_S) -> ZMQSource:
    """A source that is open and has these messages before it."""
    source = ZMQSource(publisher.address, open_s=open_s)  # a busy machine may take long to connect
    with publisher.sending_to_listener(*messages):
        source.open()
    return source


def read(source: ZMQSource) -> Block:
    deadline = now_s() + PATIENCE_S
    while (block := source.read(0.1)) is None:
        assert now_s() < deadline
    return block


@given(
    n=st.integers(0, 20),
    channels=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float64", "int16", "int32"]),
    first=st.integers(0, 2**60),
    seed=st.integers(0, 1000),
)
def test_what_is_encoded_is_decoded(
    n: int, channels: int, dtype: str, first: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = (1000 * rng.normal(size=(n, channels))).astype(dtype)
    if samples.size and samples.dtype.kind == "f":
        samples[0, 0] = np.nan
    times = rng.normal(size=n)
    info = StreamInfo("größer", tuple(f"ch {k}" for k in range(channels)), 508.6, "mV")
    got = decode_samples(encode_samples(info, "id", first, samples, times))
    assert (got.stream_id, got.info, got.block.first_index) == ("id", info, first)
    np.testing.assert_array_equal(got.block.samples, samples)
    np.testing.assert_array_equal(got.block.times_s, times)
    assert got.block.samples.dtype == (np.float32 if dtype == "float32" else np.float64)


def test_what_cannot_be_sent_is_refused() -> None:
    for samples in (np.zeros((2, 3), complex), np.zeros((3, 2)), np.zeros((1, 3))):
        with pytest.raises(ValueError, match="expected 2 samples of 3 channels"):
            encode_samples(INFO, "id", 0, samples, np.zeros(2))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "version 1"),
        ({"format": "other"}, "realm-samples"),
        ({"unit": "furlong"}, "unit as one of V, mV"),
        ({"unit": ["V"]}, "unit as one of"),
        ({"unit": None}, "the keys"),
        ({"more": 1}, "the keys"),
        ({"dtype": "object"}, "dtype as one of"),
        ({"sampling_rate_hz": 0}, "sampling_rate_hz above 0"),
        ({"sampling_rate_hz": math.nan}, "sampling_rate_hz above 0"),
        ({"sampling_rate_hz": True}, "sampling_rate_hz above 0"),
        ({"samples": 5}, "frames of"),
        ({"samples": -1}, "samples as a whole number"),
        ({"samples": 10**30}, "samples as a whole number"),
        ({"samples": True}, "samples as a whole number"),
        ({"first_index": 0.5}, "first_index as a whole number"),
        ({"channel_names": []}, "a list of 1 to"),
        ({"channel_names": "abc"}, "a list of 1 to"),
        ({"channel_names": ["a", "b"]}, "frames of"),
        ({"channel_names": ["a", "", "c"]}, "a channel name"),
        ({"channel_names": ["a", "\ud800", "c"]}, "a channel name"),
        ({"name": 7}, "name as printable text"),
        ({"stream_id": "x" * 2000}, "stream_id as printable text"),
    ],
)
def test_a_wrong_header_is_refused_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        decode_samples(message(**changes))


def test_wrong_frames_are_refused() -> None:
    good = message()
    decode_samples(good)
    wrong = [[], good[:3], [*good, b""], [b"other", *good[1:]], [*good[:3], good[3][:-1]]]
    wrong += [[*good[:2], good[2] + b"\0", good[3]], [good[0], b"[" * 100_000, *good[2:]]]
    wrong += [[good[0], b"[]", *good[2:]], [good[0], b"1" * 10_000, *good[2:]]]
    wrong += [[good[0], b" " * (1 << 21), *good[2:]], [good[0], b"\xff\xfe", *good[2:]]]
    wrong += [[*good[:3], np.array([0, 1, np.nan, 3]).tobytes()]]
    for frames in wrong:
        with pytest.raises(ValueError, match="message: expected"):
            decode_samples(frames)


@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
def test_random_bytes_are_refused(frames: list[bytes], with_topic: bool) -> None:
    with pytest.raises(ValueError, match="message: expected"):
        decode_samples([SAMPLES_TOPIC, *frames] if with_topic else frames)


def test_mutated_messages_are_refused_or_whole() -> None:
    rng, refused = np.random.default_rng(0), 0
    for _ in range(3000):
        frames = message()
        which = int(rng.integers(4))
        mutated = bytearray(frames[which])
        for _ in range(int(rng.integers(1, 4))):
            at, kind = int(rng.integers(len(mutated) or 1)), int(rng.integers(3))
            if kind == 0:
                mutated[at : at + 1] = bytes([int(rng.integers(256))])
            else:
                del mutated[at : at + int(rng.integers(1, 9))]
        frames[which] = bytes(mutated)
        try:
            got = decode_samples(frames)
        except ValueError:
            refused += 1
            continue
        assert got.block.samples.shape == (len(got.block.times_s), len(got.info.channel_names))
        assert np.isfinite(got.block.times_s).all()
    assert refused > 1000


def test_samples_and_times_arrive_as_they_were_sent(publisher: Publisher) -> None:
    sent = [message(0), message(4, n=1), message(5, n=0), message(105)]
    source = opened(publisher, *sent)
    for frames in sent:
        block, expected = read(source), decode_samples(frames).block
        np.testing.assert_array_equal(block.samples, expected.samples)
        np.testing.assert_array_equal(block.times_s, expected.times_s)
        assert block.first_index == expected.first_index  # 100 lost samples show here
    assert source.read(0.0) is None
    source.close()
    source.close()
    with pytest.raises(SourceLostError, match="not open"):
        source.read(0.0)


def test_the_stream_says_what_it_is(publisher: Publisher) -> None:
    with publisher.sending_to_listener(message()):
        assert ZMQSource(publisher.address, open_s=PATIENCE_S).open() == INFO


def test_what_is_not_in_the_format_is_counted_and_passed_over(publisher: Publisher) -> None:
    bad = [[SAMPLES_TOPIC], [SAMPLES_TOPIC, b"{}", b"", b""], message(unit="bel")]
    source = opened(publisher, bad[0], message(0), *bad[1:], message(4))
    assert [read(source).first_index, read(source).first_index] == [0, 4]
    assert source.refused_messages == 3
    assert "unit" in source.refused_because
    source.close()


def test_the_largest_message_is_bounded(publisher: Publisher) -> None:
    source = opened(publisher, message(0))
    assert read(source).first_index == 0
    publisher.send([SAMPLES_TOPIC, b"\0" * (LARGEST_FRAME + 1), b"", b""])
    with pytest.raises(SourceLostError, match="connection was lost"):
        read(source)


@pytest.mark.parametrize(
    "other",
    [
        message(stream_id="started-twice"),
        message(info=INFO._replace(channel_names=("a", "b"))),
        message(info=INFO._replace(unit="mV")),
    ],
)
def test_a_sender_that_starts_anew_or_changes_is_a_loss(
    publisher: Publisher, other: list[bytes]
) -> None:
    source = opened(publisher, message(0), other)
    assert read(source).first_index == 0
    with pytest.raises(SourceLostError, match="sender restarted"):
        read(source)


def test_nobody_there_may_come_later() -> None:
    with pytest.raises(SourceLostError, match="no message of samples"):
        ZMQSource(f"tcp://127.0.0.1:{free_port()}", open_s=0.1).open()


def test_a_sender_in_another_format_is_named(publisher: Publisher) -> None:
    with pytest.raises(SourceLostError, match=r"refused, the last: .*unit as one of"):
        opened(publisher, message(unit="bel"), open_s=3.0)


def test_times_of_another_clock_are_refused(publisher: Publisher) -> None:
    frames = message()
    frames[3] = (1.7e9 + np.arange(4)).tobytes()
    with pytest.raises(ValueError, match="CLOCK_MONOTONIC"):
        opened(publisher, frames)


def open_again(source: ZMQSource) -> StreamInfo:
    """Open as the loop does: what the dead sender left of its connection may be lost first."""
    for _ in range(20):
        with contextlib.suppress(SourceLostError):
            return source.open()
    return source.open()


def test_a_killed_sender_is_noticed_and_may_return_with_other_channels() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    senders = [send(address, 4, "first")]
    try:
        source = ZMQSource(address, open_s=PATIENCE_S)
        assert len(source.open().channel_names) == 4
        read(source)
        senders[0].kill()
        with pytest.raises(SourceLostError, match="connection was lost"):
            read_for_ever(source)
        senders.append(send(address, 5, "second"))
        returned = open_again(source)
        assert returned.channel_names == ("ch0", "ch1", "ch2", "ch3", "ch4")
        assert read(source).samples.shape == (10, 5)
    finally:
        for each in senders:
            each.kill()
            each.wait()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:5555",
        "ipc:///etc/passwd",
        "tcp://127.0.0.1",
        "tcp://a b:1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:*",
    ],
)
def test_only_addresses_are_taken(address: str) -> None:
    for kind in (ZMQSource, ZMQSink):
        with pytest.raises(ValueError, match="expected an address such as tcp://"):
            kind(address)


OUTPUT_INFO = OutputInfo("rat-1", ("x", "y"), "m/s", ("a", "b", "c"), 10.0, 0.0, "ab" * 32)


def outputs(first_bin: int, bins: int = 1) -> Outputs:
    rows = np.arange(first_bin, first_bin + bins)
    return Outputs(
        bin=rows,
        time_s=rows * 0.01 + 1e6,
        behavior=np.stack([rows * 0.5, -rows], axis=1),
        latency_ms=rows * 0.125,
        filled_share=rows * 0.0,
        bad_channels=rows % 3,
        clipped_channels=rows % 2,
        gap=rows % 2 == 1,
        neutral=rows % 2 == 0,
        held=rows % 5 == 0,
        filled=np.zeros((bins, 3)),
    )


def listener(address: str, most_waiting: int = 1000) -> Any:
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt(zmq.RCVHWM, most_waiting)
    subscriber.connect(address)
    subscriber.subscribe(BEHAVIOR_TOPIC)
    return subscriber


def next_rows(subscriber: Any) -> tuple[dict[str, Any], np.ndarray]:
    """As `zmq_sink.py` tells consumers to do it."""
    assert subscriber.poll(1000 * PATIENCE_S)
    topic, header, rows = subscriber.recv_multipart()
    assert topic == b"realm.behavior"
    columns = json.loads(header)["columns"]
    return json.loads(header), np.frombuffer(rows, "<f8").reshape(-1, len(columns))


def heard(sink: ZMQSink, subscriber: Any) -> int:
    """Send until the listener is connected; the next bin."""
    deadline = now_s() + PATIENCE_S
    for first in range(10**9):
        sink.write(outputs(first), dict)
        if subscriber.poll(10):
            break
        assert now_s() < deadline
    while next_rows(subscriber)[1][-1, 0] < first:
        pass
    return first + 1


def test_behavior_is_sent_with_everything_about_it() -> None:
    sink = ZMQSink(f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(OSError, match="not open"):
        sink.write(outputs(0), dict)
    sink.open(OUTPUT_INFO)
    subscriber = listener(sink.address)
    first = heard(sink, subscriber)
    sink.write(outputs(first, 7), dict)
    header, rows = next_rows(subscriber)
    sent = outputs(first, 7)
    assert header["columns"] == [
        "bin",
        "time_s",
        "x",
        "y",
        "latency_ms",
        "filled_share",
        "bad_channels",
        "clipped_channels",
        "gap",
        "neutral",
        "held",
    ]
    assert (header["format"], header["version"], header["rows"]) == ("realm-behavior", 1, 7)
    assert (header["session_id"], header["behavior_unit"]) == ("rat-1", "m/s")
    got = dict(zip(header["columns"], rows.T, strict=True))
    np.testing.assert_array_equal(np.stack([got["x"], got["y"]], axis=1), sent.behavior)
    for name in set(got) - {"x", "y"}:
        np.testing.assert_array_equal(got[name], getattr(sent, name), err_msg=name)
    subscriber.close(linger=0)
    sink.close()
    sink.close()


def test_a_slow_listener_does_not_hold_up_the_sink_and_sees_what_it_lost() -> None:
    sink = ZMQSink(f"tcp://127.0.0.1:{free_port()}")
    sink.open(OUTPUT_INFO)
    subscriber = listener(sink.address, most_waiting=1)
    first = heard(sink, subscriber)
    messages, together = 3000, 100
    bins = messages * together
    for bin_ in range(first, first + bins, together):  # far more than all buffers hold
        sink.write(outputs(bin_, together), dict)
    got = []
    while subscriber.poll(500):
        got.append(int(next_rows(subscriber)[1][0, 0]))
    assert len(got) < messages
    assert got == sorted(set(got))
    while not subscriber.poll(100):  # the next one gets through again
        sink.write(outputs(first + bins), dict)
    assert next_rows(subscriber)[1][0, 0] == first + bins
    subscriber.close(linger=0)
    sink.close()


def test_it_listens_on_loopback_unless_more_is_asked_for() -> None:
    for address in ("tcp://0.0.0.0:5556", "tcp://*:5556", "tcp://192.168.1.2:5556"):
        with pytest.raises(ValueError, match=r"expected an address on loopback.*anywhere=yes"):
            ZMQSink(address)
    port = free_port()
    sink = ZMQSink(f"tcp://127.0.0.1:{port}")
    sink.open(OUTPUT_INFO)
    assert listening(port) == {"0100007F"}
    sink.close()
    sink = ZMQSink(f"tcp://0.0.0.0:{free_port()}", anywhere=True)
    with pytest.warns(UserWarning, match="whoever reaches this address"):
        sink.open(OUTPUT_INFO)
    sink.close()


def test_what_the_command_line_says_arrives() -> None:
    source = make_source("zmq:tcp://127.0.0.1:5555")
    assert source.address == "tcp://127.0.0.1:5555"  # type: ignore[attr-defined]
    assert make_sink("zmq").address == "tcp://127.0.0.1:5556"  # type: ignore[attr-defined]
    sink = make_sink("zmq:tcp://0.0.0.0:5557?anywhere=yes")
    assert sink.address == "tcp://0.0.0.0:5557"  # type: ignore[attr-defined]
    for wrong in ("zmq:tcp://0.0.0.0:5557", "zmq:tcp://0.0.0.0:5557?anywhere=no"):
        with pytest.raises(ValueError, match="expected an address on loopback"):
            make_sink(wrong)


def test_an_address_in_use_is_said() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    sink = ZMQSink(address)
    sink.open(OUTPUT_INFO)
    with pytest.raises(OSError, match="cannot listen there"):
        ZMQSink(address).open(OUTPUT_INFO)
    sink.close()


def send(address: str, channels: int, stream_id: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SENDER, address, str(channels), stream_id])


def read_for_ever(source: ZMQSource) -> None:
    deadline = now_s() + PATIENCE_S
    while now_s() < deadline:
        source.read(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listening(port: int) -> set[str]:
    """Addresses, in hexadecimal, that sockets listen on at this port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    parts = [line.split() for line in lines]
    return {p[1][:8] for p in parts if p[3] == "0A" and p[1].endswith(f":{port:04X}")}
