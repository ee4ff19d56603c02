"""Samples from Intan's RHX software, through the TCP port of its waveform output.

The format is in `intan_format.py`. It holds neither names nor rate, so that both are given; the
number of signals is checked against what arrives. Nothing is sent to the software, and its
settings stay as they are. Samples are numbered, not stamped: their times follow from their numbers
and their arrival (`counted.py`).
"""

from __future__ import annotations

import itertools
import re
import select
import socket
from collections import deque
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from realm.live.clock import now_s
from realm.live.sources import Block, Source, SourceLostError, StreamInfo
from realm.live.sources.counted import CountedTimes
from realm.live.sources.intan_format import (
    MAGIC,
    MOST_SIGNALS,
    Blocks,
    block_bytes,
    decode,
    signals_sent,
)

OPEN_S = 2.0  # longest wait for a connection
AT_ONCE = 1 << 20  # bytes of a read
WRAP = 1 << 32  # numbers of samples
FORM = re.compile(r"(?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5})")


class IntanSource(Source):
    """The waveform output of RHX at an address.

    Args:
        address: host and port, such as 127.0.0.1:5001.
        channel_names: all signals that RHX sends, in the order of its channels.
        rate_hz: sampling rate of the controller, 1000 to 30000.
        open_s: longest wait for a connection.
    """

    def __init__(
        self,
        address: str,
        channel_names: Sequence[str] = (),
        rate_hz: float | None = None,
        *,
        open_s: float = OPEN_S,
    ) -> None:
        where = f"intan:{address}"
        match = FORM.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < 65_536:
            raise ValueError(
                f"{where}: expected an address such as 127.0.0.1:5001, got {address!r}; correct it"
            )
        if not (0 < len(channel_names) <= MOST_SIGNALS and all(channel_names)):
            raise ValueError(
                f"{where}: expected 1 to {MOST_SIGNALS} channel_names, got {len(channel_names)}; "
                f"RHX does not send them, so name them in its order: {where}?rate_hz=30000&"
                "channel_names=A-000,A-001"
            )
        if rate_hz is None or not 0 < rate_hz <= 1e6:
            raise ValueError(
                f"{where}: expected rate_hz above 0, got {rate_hz}; RHX does not send it, so give "
                f"the rate of its controller: {where}?rate_hz=30000&channel_names=..."
            )
        self._where, self._to = where, (match["host"], int(match["port"]))
        self._info = StreamInfo("Intan RHX", tuple(channel_names), float(rate_hz), "uV")
        self._open_s, self._size = open_s, block_bytes(len(channel_names))
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._checked = False  # whether the blocks have the expected length
        self._blocks: deque[Block] = deque()
        self._times = CountedTimes(rate_hz)
        self._last: int | None = None  # number of the last sample, beyond 2**32

    def open(self) -> StreamInfo:
        """Connect; see `Source`. Samples come when the controller runs."""
        self.close()
        try:
            self._socket = socket.create_connection(self._to, self._open_s)
        except OSError as error:
            raise SourceLostError(
                f"{self._where}: no connection ({error.strerror or error}); press Connect for the "
                "waveform output in the TCP window of RHX"
            ) from error
        self._socket.setblocking(False)
        return self._info

    def read(self, timeout_s: float) -> Block | None:
        """The samples of the blocks that arrived; see `Source`.

        Raises:
            ValueError: the blocks do not have as many signals as were named.
        """
        if self._socket is None:
            raise SourceLostError(f"{self._where}: not open")
        until = now_s() + timeout_s
        while not self._blocks:
            if not select.select([self._socket], [], [], max(0.0, until - now_s()))[0]:
                return None
            self._receive(self._socket)
        return self._blocks.popleft()

    def close(self) -> None:
        """Disconnect; see `Source`."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._checked, self._last = None, False, None
        self._buffer.clear()
        self._blocks.clear()

    def _receive(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"the connection was lost ({error.strerror or error})")
        if not received:
            self._lost("the connection was closed")
        self._buffer += received
        arrived_s = now_s()
        if not self._checked and not self._checks():
            return
        whole = len(self._buffer) // self._size * self._size
        content = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        try:
            blocks = decode(content, len(self._info.channel_names))
        except ValueError as error:
            self._lost(f"the signals that RHX sends were changed: {error}")
        self._split(blocks, arrived_s)

    def _checks(self) -> bool:
        """Whether the second block begins where it should; only then the first is believed."""
        if len(self._buffer) < len(MAGIC):
            return False
        found = signals_sent(bytes(self._buffer)) if self._buffer.startswith(MAGIC) else 0
        if found is None and len(self._buffer) < self._size + len(MAGIC):
            return False
        expected = len(self._info.channel_names)
        if found != expected:
            self.close()
            raise ValueError(
                f"{self._where}: expected blocks of {expected} signals, those of channel_names, "
                f"got {found or 'another format'}; name every signal and band that RHX sends, and "
                "no other"
            )
        self._checked = True
        return True

    def _split(self, blocks: Blocks, arrived_s: float) -> None:
        """Runs of samples with one number after the other become blocks of their own."""
        numbers = blocks.numbers.astype(np.int64)
        steps = (np.diff(numbers) + WRAP // 2) % WRAP - WRAP // 2
        starts = [0, *(np.flatnonzero(steps != 1) + 1).tolist(), len(numbers)]
        for start, stop in itertools.pairwise(starts):
            if start < stop:
                first, count = self._unwrapped(int(numbers[start])), stop - start
                self._last = first + count - 1
                times = self._times.times(first, count, arrived_s)
                self._blocks.append(Block(blocks.microvolts[start:stop], times, first))

    def _unwrapped(self, number: int) -> int:
        """The number of a sample beyond 2**32; a controller that starts anew begins at its own."""
        if self._last is None:
            self._times = CountedTimes(self._info.sampling_rate_hz)
            return number
        step = (number - self._last + WRAP // 2) % WRAP - WRAP // 2
        if step > 0:
            return self._last + step
        self._times = CountedTimes(self._info.sampling_rate_hz)
        return number

    def _lost(self, why: str) -> NoReturn:
        self.close()
        raise SourceLostError(f"{self._where}: {why}")
