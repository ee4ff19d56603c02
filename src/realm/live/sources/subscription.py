"""Messages of a ZeroMQ publisher: one connection, its end noticed, no frame above a size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import zmq

from realm.live.sources import Source, SourceLostError
from realm.live.zmq_format import LARGEST_FRAME

Message = TypeVar("Message")
MOST_WAITING = 1_000  # messages; beyond them the newest are dropped


class Subscription:
    """A connection to a publisher; it connects when it is made.

    Args:
        address: such as tcp://127.0.0.1:5555.
        topic: how the first frame of every wanted message begins.
        where: begins the messages of errors.
        most_waiting: messages that may wait to be read; beyond them the newest are dropped.
    """

    def __init__(
        self, address: str, topic: bytes, where: str, most_waiting: int = MOST_WAITING
    ) -> None:
        self._where = where
        self._socket: Any = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, most_waiting)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_FRAME)
        self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._monitor: Any = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def receive(self, timeout_s: float) -> list[bytes] | None:
        """The frames of the next message; None if none comes in time.

        Raises:
            SourceLostError: the connection was lost, and all that came before was read.
        """
        ready = dict(self._poller.poll(max(0, round(1000 * timeout_s))))
        if self._socket in ready:  # what arrived before the loss is read first
            frames: list[bytes] = self._socket.recv_multipart(zmq.NOBLOCK)
            return frames
        if self._monitor in ready:
            raise SourceLostError(f"{self._where}: the connection was lost")
        return None

    def close(self) -> None:
        """Disconnect."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)


class Subscriber(Source):
    """What sources of a ZeroMQ publisher share: a connection, and the messages they refuse.

    Attributes:
        refused_messages: messages so far that were not in the format and were ignored.
        refused_because: what was wrong with the last of them.
    """

    def __init__(self) -> None:
        self.refused_messages, self.refused_because = 0, ""
        self._subscription: Subscription | None = None

    def close(self) -> None:
        """Disconnect; see `Source`."""
        if self._subscription is not None:
            self._subscription.close()
        self._subscription = None

    def _received(
        self, timeout_s: float, decode: Callable[[list[bytes]], Message]
    ) -> Message | None:
        """One message; None if none came in time, or none that is in the format."""
        assert self._subscription is not None
        try:
            frames = self._subscription.receive(timeout_s)
        except SourceLostError:
            self.close()
            raise
        try:
            return None if frames is None else decode(frames)
        except ValueError as error:
            self.refused_messages += 1
            self.refused_because = str(error)
            return None
