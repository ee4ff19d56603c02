"""The messages of Open Ephys' "ZMQ Interface" plug-in, and the blocks that they make.

A message holds a run of samples of ONE channel, in three frames:

    topic     "DATA" and a zero byte
    header    JSON: {"message_num", "type": "data", "content": {"stream", "channel_num",
              "channel_name", "num_samples", "sample_num", "sample_rate"}, "data_size", "timestamp"}
    samples   float32, little-endian, in the unit of the channel: microvolts for electrodes

The plug-in sends the selected channels of its stream one after the other for every block of
samples, all with the same `sample_num`. Before July 2025 it did not send `channel_name`.

Source: github.com/open-ephys-plugins/zmq-interface, Source/ZmqInterface.cpp, and the page "ZMQ
Interface" of the manual of the Open Ephys GUI.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live.zmq_format import LARGEST_INDEX, LONGEST_TEXT, MOST_CHANNELS

TOPIC = b"DATA"
LARGEST_HEADER = 64 << 10  # bytes


class Layout(NamedTuple):
    """What stays the same while a stream is acquired."""

    stream: str
    sampling_rate_hz: float


class Piece(NamedTuple):
    """The samples of one channel in one block."""

    layout: Layout
    channel: int  # its number in the stream
    name: str
    first: int  # number of the first sample since acquisition began
    samples: NDArray[np.float32]  # (samples,)


class Whole(NamedTuple):
    """The samples of all channels in one block; NaN where a channel did not arrive."""

    first: int
    samples: NDArray[np.float32]  # (samples, channels)


def decode(frames: Sequence[bytes]) -> Piece:
    """One message of continuous data.

    Raises:
        ValueError: it is no such message.
    """
    if len(frames) != 3 or frames[0].rstrip(b"\0") != TOPIC:
        raise ValueError(_wrong("three frames that begin with DATA", len(frames)))
    content = _content(frames[1])
    count, size = content["num_samples"], len(frames[2])
    if type(count) is not int or size != 4 * count:
        raise ValueError(_wrong(f"num_samples for {size} bytes of float32", count))
    channel, first = content["channel_num"], content["sample_num"]
    if type(channel) is not int or not 0 <= channel < MOST_CHANNELS:
        raise ValueError(_wrong("channel_num as a whole number", channel))
    if type(first) is not int or not 0 <= first <= LARGEST_INDEX:
        raise ValueError(_wrong("sample_num as a whole number", first))
    rate = content["sample_rate"]
    if type(rate) not in (int, float) or not (math.isfinite(rate) and 0 < rate <= 1e6):
        raise ValueError(_wrong("a sample_rate above 0, up to 1000000", rate))
    layout = Layout(_text(content, "stream"), float(rate))
    samples = np.frombuffer(frames[2], "<f4").astype(np.float32)
    return Piece(layout, channel, _text(content, "channel_name"), first, samples)


def _content(header: bytes) -> dict[str, Any]:
    try:
        told = json.loads(header) if len(header) <= LARGEST_HEADER else None
    except (ValueError, RecursionError):
        told = None
    content = told.get("content") if isinstance(told, dict) else None
    if not isinstance(content, dict):
        raise ValueError(_wrong("a header in JSON with content", header[:80]))
    wanted = {"stream", "channel_num", "channel_name", "num_samples", "sample_num", "sample_rate"}
    if missing := wanted - set(content):
        raise ValueError(
            f"message: expected {', '.join(sorted(missing))} in the header, got none; update the "
            "plug-in ZMQ Interface"
        )
    return content


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
        raise ValueError(_wrong(f"{key} as printable text", value))
    return value


def _wrong(expected: str, got: object) -> str:
    return f"message: expected {expected}, got {str(got)[:200]!r}; update the plug-in ZMQ Interface"


class Assembly:
    """Puts the channels of a block together.

    A block is whole when all channels are there. It is given out with NaN for those that did not
    arrive when the next block begins: a publisher drops messages when it is read too slowly.

    Args:
        channels: numbers of the channels in their order; None to learn them from the first block.

    Attributes:
        channels: as given or learned.
    """

    def __init__(self, channels: tuple[int, ...] | None = None) -> None:
        self.channels = channels
        self._pieces: dict[int, NDArray[np.float32]] = {}
        self._first, self._count = 0, 0

    def add(self, piece: Piece) -> list[Whole]:
        """Take one message; the blocks that it completes."""
        done = []
        other = (piece.first, len(piece.samples)) != (self._first, self._count)
        if self._pieces and (other or piece.channel in self._pieces):
            done.append(self._given())
        self._first, self._count = piece.first, len(piece.samples)
        self._pieces[piece.channel] = piece.samples
        if self.channels is not None and len(self._pieces) == len(self.channels):
            done.append(self._given())
        return done

    def _given(self) -> Whole:
        if self.channels is None:
            self.channels = tuple(self._pieces)
        absent = np.full(self._count, np.nan, np.float32)
        columns = [self._pieces.get(channel, absent) for channel in self.channels]
        self._pieces = {}
        return Whole(self._first, np.stack(columns, axis=1))
