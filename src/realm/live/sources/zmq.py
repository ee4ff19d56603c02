"""Samples from a ZeroMQ publisher; the format is in `zmq_format.py`.

Everything that arrives is checked: a message that is not in the format is counted and ignored, and
one frame is at most `LARGEST_FRAME` bytes. The connection shows that a sender went away, a new
`stream_id` that it restarted, and `first_index` what was lost.
"""

from __future__ import annotations

from realm.live.clock import check_clock, now_s
from realm.live.sources import Block, SourceLostError, StreamInfo
from realm.live.sources.subscription import Subscriber, Subscription
from realm.live.zmq_format import SAMPLES_TOPIC, Samples, check_address, decode_samples

OPEN_S = 2.0  # longest wait for the first message


class ZMQSource(Subscriber):
    """The publisher at an address.

    Args:
        address: such as tcp://127.0.0.1:5555.
        open_s: longest wait for the first message.

    Attributes:
        refused_messages: messages so far that were not in the format and were ignored.
        refused_because: what was wrong with the last of them.
    """

    def __init__(self, address: str, *, open_s: float = OPEN_S) -> None:
        check_address(address, f"source zmq:{address}")
        self.address, self._open_s = address, open_s
        super().__init__()
        self._first: Samples | None = None  # what the open stream is; its block is read first
        self._waiting: Block | None = None

    def open(self) -> StreamInfo:
        """Connect and wait for the first message, which describes the stream; see `Source`."""
        self.close()
        where = f"zmq:{self.address}"
        self._subscription = Subscription(self.address, SAMPLES_TOPIC, where)
        before, until = self.refused_messages, now_s() + self._open_s
        first = None
        while first is None and now_s() < until:
            first = self._received(until - now_s(), decode_samples)
        if first is None:
            self.close()
            refused = self.refused_messages - before
            said = f"; {refused} were refused, the last: {self.refused_because}" if refused else ""
            raise SourceLostError(
                f"zmq:{self.address}: no message of samples within {self._open_s:g} s{said}"
            )
        try:
            check_clock(first.block.times_s, f"zmq:{self.address}")
        except ValueError:
            self.close()
            raise
        self._first, self._waiting = first, first.block
        return first.info

    def read(self, timeout_s: float) -> Block | None:
        """The samples of the next message; see `Source`."""
        if self._first is None:
            raise SourceLostError(f"zmq:{self.address}: not open")
        if self._waiting is not None:
            block, self._waiting = self._waiting, None
            return block
        received = self._received(timeout_s, decode_samples)
        if received is None:
            return None
        if (received.stream_id, received.info) != (self._first.stream_id, self._first.info):
            self._lost("the sender restarted, or now sends something else")
        return received.block

    def close(self) -> None:
        """Disconnect; see `Source`."""
        super().close()
        self._first = self._waiting = None

    def _lost(self, why: str) -> None:
        self.close()
        raise SourceLostError(f"zmq:{self.address}: {why}")
