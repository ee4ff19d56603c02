"""The Open Ephys GUI, simulated by the messages of its plug-in "ZMQ Interface"."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import decoded_through, read

zmq = pytest.importorskip("zmq")

from realm.live.clock import now_s  # noqa: E402
from realm.live.registry import make_source  # noqa: E402
from realm.live.sources import SourceLostError, StreamInfo  # noqa: E402
from realm.live.sources.open_ephys import OpenEphysSource  # noqa: E402
from realm.live.sources.open_ephys_format import TOPIC, decode  # noqa: E402

PATIENCE_S = 30.0
RATE_HZ = 1000.0
NAMES = ("CH1", "CH2", "CH7")
SENT_AS = (0, 1, 6)  # channel_num of the selected channels


def message(channel: int, name: str, first: int, values: Any, **changes: Any) -> list[bytes]:
    """What `ZmqInterface::sendData` sends, with some entries of the content changed."""
    samples = np.asarray(values, "<f4")
    content = {
        "stream": "acquisition_board",
        "channel_num": channel,
        "channel_name": name,
        "num_samples": len(samples),
        "sample_num": first,
        "sample_rate": RATE_HZ,
    }
    content = {k: v for k, v in {**content, **changes}.items() if v is not None}
    header = {
        "message_num": first + channel,
        "type": "data",
        "content": content,
        "data_size": samples.nbytes,
        "timestamp": 1_764_000_000_000,
    }
    return [b"DATA\0", json.dumps(header, indent=2).encode(), samples.tobytes()]


def block(first: int, values: np.ndarray, **changes: Any) -> list[list[bytes]]:
    """The messages of one block (samples, channels)."""
    names = NAMES if values.shape[1] == 3 else tuple(f"ch{k}" for k in range(values.shape[1]))
    sent_as = SENT_AS if values.shape[1] == 3 else range(values.shape[1])
    pairs = zip(sent_as, names, values.T, strict=True)
    return [message(number, name, first, column, **changes) for number, name, column in pairs]


class GUI:
    """A simulated GUI: a publisher that knows when somebody listens."""

    def __init__(self) -> None:
        self.socket = zmq.Context.instance().socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"

    def wait_for_listener(self) -> None:
        assert self.socket.poll(1000 * PATIENCE_S)
        assert self.socket.recv() == b"\x01" + TOPIC

    def send(self, *messages: list[bytes]) -> None:
        for frames in messages:
            self.socket.send_multipart(frames)


@pytest.fixture
def gui() -> Iterator[GUI]:
    made = GUI()
    yield made
    made.socket.close(linger=0)


def opened(gui: GUI, *messages: list[bytes], open_s: float = PATIENCE_S) -> OpenEphysSource:
    """A source that is open and has these messages before it."""
    source = OpenEphysSource(gui.address, open_s=open_s)

    def serve() -> None:
        gui.wait_for_listener()
        gui.send(*messages)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        source.info = source.open()  # type: ignore[attr-defined]
    finally:
        serving.join()
    return source


def values(first: int, count: int = 4) -> np.ndarray:
    """Every sample of every channel is another number."""
    return (10 * (first + np.arange(count))[:, None] + np.arange(3)).astype(np.float32)


def blocks(*firsts: int) -> list[list[bytes]]:
    return [each for first in firsts for each in block(first, values(first))]


def test_blocks_have_all_channels_in_their_order(gui: GUI) -> None:
    source = opened(gui, *blocks(100, 104, 108, 112))
    assert source.info == StreamInfo("acquisition_board", NAMES, RATE_HZ, "uV")  # type: ignore[attr-defined]
    for first in (104, 108, 112):  # of the first block only the end may have arrived
        got = read(source)
        assert got.first_index == first
        np.testing.assert_array_equal(got.samples, values(first))
        assert len(got.times_s) == 4
        assert abs(got.times_s[-1] - now_s()) < PATIENCE_S
    assert source.read(0.0) is None
    source.close()
    source.close()
    with pytest.raises(SourceLostError, match="not open"):
        source.read(0.0)


def test_a_block_that_had_begun_before_is_left_out(gui: GUI) -> None:
    source = opened(gui, *blocks(100)[2:], *blocks(104, 108))
    assert source.info.channel_names == NAMES  # type: ignore[attr-defined]
    assert read(source).first_index == 104


def test_a_block_is_given_with_its_last_channel_and_not_later(gui: GUI) -> None:
    source = opened(gui, *blocks(0, 4, 8))
    assert [read(source).first_index, read(source).first_index] == [4, 8]
    gui.send(*blocks(12)[:2])
    assert source.read(0.05) is None
    gui.send(blocks(12)[2])
    assert read(source).first_index == 12


def test_a_lost_message_is_a_missing_channel_of_that_block(gui: GUI) -> None:
    source = opened(gui, *blocks(0, 4), *blocks(8)[::2], *blocks(16))
    assert read(source).first_index == 4
    got = read(source)
    assert np.isnan(got.samples[:, 1]).all()
    np.testing.assert_array_equal(got.samples[:, ::2], values(8)[:, ::2])
    got = read(source)
    assert got.first_index == 16  # four samples of all channels were lost
    np.testing.assert_array_equal(got.samples, values(16))


def test_other_messages_are_ignored_and_wrong_ones_counted(gui: GUI) -> None:
    event = [b"EVENT\0", b"{}", b"\0" * 10]
    wrong = [[TOPIC], [TOPIC, b"[", b""], message(0, "CH1", 0, [1.0], num_samples=2)]
    source = opened(gui, event, *blocks(0, 4), *wrong, *blocks(8))
    assert [read(source).first_index, read(source).first_index] == [4, 8]
    assert source.refused_messages == 3
    assert "num_samples" in source.refused_because


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (blocks(0), "started anew"),
        (block(8, values(8), sample_rate=2000.0), "changed"),
        (block(8, values(8), stream="other"), "changed"),
        ([message(5, "CH6", 8, [0.0] * 4)], "changed"),
        ([message(0, "renamed", 8, [0.0] * 4)], "changed"),
    ],
)
def test_an_acquisition_that_starts_anew_or_changes_is_a_loss(
    gui: GUI, after: list[list[bytes]], why: str
) -> None:
    source = opened(gui, *blocks(0, 4, 8)[:7], *blocks(8)[1:], *after)
    assert [read(source).first_index, read(source).first_index] == [4, 8]
    with pytest.raises(SourceLostError, match=why):
        read(source)


def test_a_gui_that_ends_is_a_loss(gui: GUI) -> None:
    source = opened(gui, *blocks(0, 4, 8))
    assert [read(source).first_index, read(source).first_index] == [4, 8]
    gui.socket.close(linger=0)
    with pytest.raises(SourceLostError, match="connection was lost"):
        read(source)


def test_a_gui_without_acquisition_is_waited_for(gui: GUI) -> None:
    with pytest.raises(SourceLostError, match="start the acquisition"):
        opened(gui, open_s=0.1)


def test_an_old_plug_in_is_named(gui: GUI) -> None:
    old = block(0, values(0), channel_name=None) + block(4, values(4), channel_name=None)
    with pytest.raises(SourceLostError, match=r"channel_name.*update the plug-in"):
        opened(gui, *old, open_s=3.0)


@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
def test_random_bytes_are_refused(frames: list[bytes], with_topic: bool) -> None:
    with pytest.raises(ValueError, match="message: expected"):
        decode([b"DATA\0", *frames] if with_topic else frames)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"channel_num": -1}, "channel_num"),
        ({"channel_num": True}, "channel_num"),
        ({"sample_num": 0.5}, "sample_num"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": "fast"}, "sample_rate"),
        ({"stream": 1}, "stream as printable text"),
        ({"channel_name": ""}, "channel_name as printable text"),
        ({"num_samples": None}, "num_samples"),
    ],
)
def test_a_wrong_header_is_refused_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=f"message: expected.*{expected}"):
        decode(message(0, "CH1", 0, [1.0], **changes))


def test_it_is_made_from_the_command_line() -> None:
    made = make_source("open-ephys:tcp://127.0.0.1:5556?unit=V")
    assert isinstance(made, OpenEphysSource)
    for text, expected in [
        ("open-ephys:5556", "an address such as"),
        ("open-ephys:tcp://127.0.0.1:5556?unit=bel", "unit as one of"),
    ]:
        with pytest.raises(ValueError, match=expected):
            make_source(text)


def test_what_it_sends_is_decoded_as_offline(gui: GUI) -> None:
    def serve(microvolts: np.ndarray, size: int, pause: Any) -> None:
        gui.wait_for_listener()
        for first in range(0, len(microvolts), size):
            pause(first + size)
            gui.send(*block(first, microvolts[first : first + size], sample_rate=500.0))

    decoded_through(OpenEphysSource(gui.address, open_s=PATIENCE_S), serve, left_out=1)
