"""Intan's RHX software, simulated by the bytes of its waveform output over TCP."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import decoded_through, read

from realm.live.clock import now_s
from realm.live.registry import make_source
from realm.live.sources import SourceLostError, StreamInfo
from realm.live.sources.intan import IntanSource
from realm.live.sources.intan_format import block_bytes, decode

PATIENCE_S = 30.0
RATE_HZ = 30_000.0
NAMES = ("A-000", "A-001", "B-013")
FRAMES = 128


def block(first: int, values: np.ndarray | None = None, signals: int = 3) -> bytes:
    """One block as `TCPDataOutputThread::run` writes it; values (128, signals) are uint16."""
    if values is None:
        values = sample_values(first, signals)
    out = struct.pack("<I", 0x2EF07A08)
    for number, row in enumerate(values.tolist(), first):
        out += struct.pack(f"<I{len(row)}H", number % 2**32, *row)
    return out


def sample_values(first: int, signals: int = 3) -> np.ndarray:
    """Every sample of every signal is another number, for a while."""
    numbers = (first % 10_000 + np.arange(FRAMES))[:, None] * signals + np.arange(signals)
    return (32_768 + numbers % 1000).astype(np.uint16)


class RHX:
    """A simulated waveform output: it takes one connection at a time."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(PATIENCE_S)
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.connection: socket.socket | None = None

    def accept(self) -> None:
        self.connection, _ = self.listening.accept()

    def send(self, *content: bytes) -> None:
        assert self.connection is not None
        for each in content:
            self.connection.sendall(each)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.listening.close()


@pytest.fixture
def rhx() -> Iterator[RHX]:
    made = RHX()
    yield made
    made.close()


def opened(rhx: RHX, names: tuple[str, ...] = NAMES) -> IntanSource:
    source = IntanSource(rhx.address, names, RATE_HZ, open_s=PATIENCE_S)
    assert source.open() == StreamInfo("Intan RHX", names, RATE_HZ, "uV")
    rhx.accept()
    return source


def microvolts(first: int) -> np.ndarray:
    return 0.195 * (sample_values(first).astype(np.float64) - 32_768)


def test_samples_and_numbers_arrive_in_microvolts(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(0), block(128))
    got = read(source, 256)
    assert got.first_index == 0
    np.testing.assert_allclose(got.samples[:128], microvolts(0), rtol=1e-6)
    np.testing.assert_allclose(got.samples[128:], microvolts(128), rtol=1e-6)
    np.testing.assert_allclose(np.diff(got.times_s), 1 / RATE_HZ, rtol=1e-3)
    assert abs(got.times_s[-1] - now_s()) < PATIENCE_S
    assert source.read(0.0) is None
    source.close()
    source.close()
    with pytest.raises(SourceLostError, match="not open"):
        source.read(0.0)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
def test_a_block_may_come_in_pieces(rhx: RHX, size: int) -> None:
    source, content = opened(rhx), block(0) + block(128) + block(256)
    rhx.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[union-attr]
    sending = threading.Thread(
        target=lambda: rhx.send(*(content[k : k + size] for k in range(0, len(content), size)))
    )
    sending.start()
    got = read(source, 384)
    sending.join()
    assert got.first_index == 0
    np.testing.assert_allclose(got.samples[256:], microvolts(256), rtol=1e-6)


def test_a_controller_that_does_not_run_yet_is_waited_for(rhx: RHX) -> None:
    source = opened(rhx)
    assert source.read(0.01) is None
    rhx.send(block(0), block(128))
    assert read(source, 256).first_index == 0


def test_the_number_of_signals_is_checked_before_any_is_believed(rhx: RHX) -> None:
    for names, told in ((NAMES[:2], "3"), ((*NAMES, "C-000"), "3")):
        source = opened(rhx, names)
        rhx.send(block(0), block(128))
        with pytest.raises(ValueError, match=f"expected blocks of {len(names)} .* got {told};"):
            read(source, 1)


def test_one_block_alone_is_not_believed(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(0))
    assert source.read(0.05) is None
    rhx.send(block(128)[:4])
    assert read(source, 128).first_index == 0


def test_another_format_is_refused(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ValueError, match="another format"):
        read(source, 1)


def test_a_change_of_the_signals_is_a_loss(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(0), block(128))
    assert read(source, 256).first_index == 0
    rhx.send(block(256, signals=4), block(384, signals=4))
    with pytest.raises(SourceLostError, match="were changed"):
        read(source, 10_000)


def test_a_gap_is_between_blocks_with_their_own_numbers(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(0) + block(128) + block(384))
    got = [read(source, 256), read(source, 128)]
    assert [each.first_index for each in got] == [0, 384]
    np.testing.assert_allclose(got[1].samples, microvolts(384), rtol=1e-6)


def test_the_counter_goes_on_beyond_its_32_bits(rhx: RHX) -> None:
    source, first = opened(rhx), 2**32 - 192
    rhx.send(block(first) + block(first + 128))
    assert read(source, 256).first_index == first
    rhx.send(block(first + 256))
    got = read(source, 128)
    assert got.first_index == first + 256
    assert got.times_s[-1] < now_s() + 1


def test_a_controller_that_starts_anew_keeps_the_connection(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(90_000), block(90_128))
    assert read(source, 256).first_index == 90_000
    rhx.send(block(0))
    got = read(source, 128)
    assert got.first_index == 0
    assert abs(got.times_s[-1] - now_s()) < PATIENCE_S


def test_the_end_of_the_software_is_a_loss_and_it_may_return(rhx: RHX) -> None:
    source = opened(rhx)
    rhx.send(block(0), block(128))
    assert read(source, 256).first_index == 0
    rhx.connection.close()  # type: ignore[union-attr]
    with pytest.raises(SourceLostError, match="connection was closed"):
        read(source, 1)
    source.open()
    rhx.accept()
    rhx.send(block(512), block(640))
    assert read(source, 256).first_index == 512


def test_nobody_there_may_come_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceLostError, match="press Connect"):
        IntanSource(f"127.0.0.1:{port}", NAMES, RATE_HZ, open_s=0.2).open()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("intan:127.0.0.1", "an address such as"),
        ("intan:127.0.0.1:0?rate_hz=1&channel_names=a", "an address such as"),
        ("intan:127.0.0.1:5001", "channel_names"),
        ("intan:127.0.0.1:5001?channel_names=a,,b&rate_hz=30000", "channel_names"),
        ("intan:127.0.0.1:5001?channel_names=a", "rate_hz"),
        ("intan:127.0.0.1:5001?channel_names=a&rate_hz=0", "rate_hz"),
        ("intan:127.0.0.1:5001?channel_names=a&rate_hz=fast", "rate_hz as a number"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make_source(text)
    assert isinstance(
        make_source("intan:127.0.0.1:5001?channel_names=A-000,A-001&rate_hz=2e4"), IntanSource
    )


@given(st.binary(min_size=block_bytes(1), max_size=block_bytes(1)))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="expected a block to begin"):
        decode(content, 1)


def test_what_it_sends_is_decoded_as_offline(rhx: RHX) -> None:
    def serve(microvolts: np.ndarray, size: int, pause: Any) -> None:
        rhx.accept()
        raw = np.round(microvolts / 0.195 + 32_768).astype(np.uint16)
        for first in range(0, len(raw), size):
            pause(first + size)
            rhx.send(block(first, raw[first : first + size]))

    names = tuple(f"ch{k}" for k in range(8))
    source = IntanSource(rhx.address, names, 500.0, open_s=PATIENCE_S)
    decoded_through(source, serve, left_out=0, step_uv=0.195)
