"""Decoded behavior for ZeroMQ subscribers; the format is in `zmq_format.py`.

A subscriber:

    socket = zmq.Context().socket(zmq.SUB)
    socket.connect("tcp://127.0.0.1:5556")
    socket.subscribe(b"realm.behavior")
    topic, header, rows = socket.recv_multipart()
    columns = json.loads(header)["columns"]
    rows = np.frombuffer(rows, "<f8").reshape(-1, len(columns))

A subscriber that is too slow loses messages, as is ZeroMQ's way; the column `bin` counts and shows
it which.
"""

from __future__ import annotations

import warnings
from typing import Any

import zmq

from realm.live.outputs import OutputInfo, Outputs
from realm.live.sinks import Counters, Sink
from realm.live.zmq_format import check_address, encode_behavior, is_loopback

ADDRESS = "tcp://127.0.0.1:5556"
MOST_WAITING = 1_000  # messages for each subscriber
LINGER_MS = 200


class ZMQSink(Sink):
    """A publisher that listens at this address.

    Args:
        address: where; on loopback, so that only this machine can listen in.
        anywhere: allow an address that other machines can reach. What is sent is not encrypted and
            anyone can read it.
    """

    immediate = True  # ZeroMQ has a thread of its own

    def __init__(self, address: str = ADDRESS, anywhere: bool = False) -> None:
        self._local = is_loopback(check_address(address, f"sink zmq:{address}"))
        if not (self._local or anywhere):
            raise ValueError(
                f"sink zmq:{address}: expected an address on loopback, such as {ADDRESS}, "
                "got one that other machines may reach; to let them read, ask for it: "
                f"zmq:{address}?anywhere=yes"
            )
        self.address = address
        self._socket: Any = None
        self._info: OutputInfo | None = None

    def open(self, info: OutputInfo) -> None:
        """Listen; see `Sink`."""
        self.close()
        if not self._local:
            warnings.warn(
                f"sink zmq:{self.address}: whoever reaches this address can read the behavior",
                stacklevel=2,
            )
        socket: Any = zmq.Context.instance().socket(zmq.PUB)
        socket.setsockopt(zmq.SNDHWM, MOST_WAITING)
        try:
            socket.bind(self.address)
        except zmq.ZMQError as error:
            socket.close(linger=0)
            raise OSError(
                f"sink zmq:{self.address}: cannot listen there ({error}); choose another port"
            ) from error
        self._socket, self._info = socket, info

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Send the rows; subscribers that are not there, or too slow, are not waited for."""
        if self._socket is None or self._info is None:
            raise OSError(f"sink zmq:{self.address}: not open")
        try:
            self._socket.send_multipart(encode_behavior(self._info, outputs), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise OSError(f"sink zmq:{self.address}: {error}") from error

    def close(self) -> None:
        """Send what waits and stop listening; see `Sink`."""
        if self._socket is not None:
            self._socket.close(linger=LINGER_MS)
        self._socket = self._info = None
