"""Samples from the Open Ephys GUI, through its plug-in "ZMQ Interface".

The format is in `open_ephys_format.py`. The plug-in counts its samples, so that losses are exact;
it does not stamp them on a clock that can be used, so that their times follow from their numbers
and their arrival (`counted.py`). Nothing is sent to the GUI.
"""

from __future__ import annotations

from collections import deque
from typing import NoReturn

from realm.live.clock import now_s
from realm.live.sources import UNITS, Block, SourceLostError, StreamInfo
from realm.live.sources.counted import CountedTimes
from realm.live.sources.open_ephys_format import TOPIC, Assembly, Layout, Piece, Whole, decode
from realm.live.sources.subscription import Subscriber, Subscription
from realm.live.zmq_format import check_address

OPEN_S = 2.0  # longest wait for two blocks
MOST_WAITING = 100_000  # messages, one for each channel and block


class OpenEphysSource(Subscriber):
    """The ZMQ Interface at an address.

    Args:
        address: such as tcp://127.0.0.1:5556, with the plug-in's "Data Port".
        unit: of the samples: uV for electrodes (the GUI's unit), V for its ADC channels.
        open_s: longest wait for the first blocks.

    Attributes:
        refused_messages: messages so far that were not in the format and were ignored.
        refused_because: what was wrong with the last of them.
    """

    def __init__(self, address: str, unit: str = "uV", *, open_s: float = OPEN_S) -> None:
        check_address(address, f"source open-ephys:{address}")
        if unit not in UNITS:
            raise ValueError(
                f"open-ephys:{address}: expected unit as one of {', '.join(UNITS)}, got {unit!r}; "
                "correct it"
            )
        self.address, self._unit, self._open_s = address, unit, open_s
        super().__init__()
        self._layout: Layout | None = None
        self._names: dict[int, str] = {}
        self._assembly = Assembly()
        self._times: CountedTimes | None = None
        self._next = 0  # number of the sample that comes next
        self._blocks: deque[Block] = deque()

    def open(self) -> StreamInfo:
        """Connect and learn the channels from the second block; see `Source`."""
        self.close()
        self._subscription = Subscription(
            self.address, TOPIC, f"open-ephys:{self.address}", MOST_WAITING
        )
        before, until, begun = self.refused_messages, now_s() + self._open_s, False
        while now_s() < until:
            piece = self._received(until - now_s(), decode)
            if piece is None:
                continue
            if piece.layout != self._layout:
                self._begin(piece.layout)
                begun = False
            done = self._assembly.add(piece)
            if done and begun:
                self._check(piece)
                return self._described(done[0])
            if done:  # the first block, of which only the end may have arrived
                begun = True
                self._begin(piece.layout)
                self._assembly.add(piece)
            self._names[piece.channel] = piece.name
        refused = self.refused_messages - before
        said = f"; {refused} were refused, the last: {self.refused_because}" if refused else ""
        self.close()
        raise SourceLostError(
            f"open-ephys:{self.address}: no two blocks of samples within {self._open_s:g} s; start "
            f"the acquisition{said}"
        )

    def read(self, timeout_s: float) -> Block | None:
        """The next block of samples; see `Source`."""
        if self._layout is None or self._subscription is None:
            raise SourceLostError(f"open-ephys:{self.address}: not open")
        until = now_s() + timeout_s
        while not self._blocks:
            piece = self._received(max(0.0, until - now_s()), decode)
            if piece is not None:
                self._check(piece)
                for whole in self._assembly.add(piece):
                    self._take(whole)
            elif now_s() >= until:
                return None
        return self._blocks.popleft()

    def close(self) -> None:
        """Disconnect; see `Source`."""
        super().close()
        self._layout = None
        self._blocks.clear()

    def _begin(self, layout: Layout) -> None:
        self._layout, self._assembly, self._names = layout, Assembly(), {}

    def _check(self, piece: Piece) -> None:
        if (piece.layout, piece.name) != (self._layout, self._names.get(piece.channel)):
            self._lost("the stream or its channels changed")

    def _described(self, second: Whole) -> StreamInfo:
        assert self._layout is not None
        assert self._assembly.channels is not None
        rate_hz = self._layout.sampling_rate_hz
        self._times, self._next = CountedTimes(rate_hz), second.first
        self._take(second)
        names = tuple(self._names[channel] for channel in self._assembly.channels)
        return StreamInfo(self._layout.stream, names, rate_hz, self._unit)

    def _take(self, whole: Whole) -> None:
        if whole.first < self._next:
            self._lost("the acquisition was started anew")
        assert self._times is not None
        count = len(whole.samples)
        self._next = whole.first + count
        times = self._times.times(whole.first, count, now_s())
        self._blocks.append(Block(whole.samples, times, whole.first))

    def _lost(self, why: str) -> NoReturn:
        self.close()
        raise SourceLostError(f"open-ephys:{self.address}: {why}")
