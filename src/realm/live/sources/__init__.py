"""What a source of samples is: it opens, gives blocks of samples with their times, and closes.

A source only hands on what arrived. Channels, units, gaps, order and clocks are checked after it,
in the same way for all sources.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

UNITS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}  # of samples, in volts


class StreamInfo(NamedTuple):
    """What a source says about its samples when it opens."""

    name: str
    channel_names: tuple[str, ...]
    sampling_rate_hz: float  # nominal
    unit: str  # of the samples: V, mV, uV or nV
    units: tuple[str, ...] = ()  # of each channel, where they are not all in `unit`


class Block(NamedTuple):
    """Samples that arrived together, one row each."""

    samples: NDArray[Any]  # (samples, channels) in the source's unit and order of channels
    times_s: NDArray[np.float64]  # (samples,) when each was taken, on the clock of `now_s`
    first_index: int | None = None  # of the first sample, if the source counts its samples
    behavior: NDArray[Any] | None = None  # (samples, dims) true behavior, NaN = unknown (replay)


class SourceLostError(OSError):
    """The source is not there, or went away; it may come back."""


class SourceEndedError(Exception):
    """The source has no more samples and never will."""


class Source(Protocol):
    """Where samples come from. A subclass has the defaults of the attributes.

    Attributes:
        can_wait: the source loses nothing while it is not read, and its time stamps are not those
            of the present. The loop then lets it wait instead of dropping samples. A replay at
            maximum speed is such a source; a replay at real speed is not.
        refused_messages: messages so far that were not in the source's format and were ignored.
    """

    can_wait: bool = False
    refused_messages: int = 0

    @abstractmethod
    def open(self) -> StreamInfo:
        """Connect within a few seconds; called again after a loss.

        Raises:
            SourceLostError: nothing is there (yet).
            ValueError: it is there but can never be used; the message says what to do.
        """

    @abstractmethod
    def read(self, timeout_s: float) -> Block | None:
        """The samples that arrived since the last call; None if none arrived in this time.

        Raises:
            SourceLostError: the source went away.
            SourceEndedError: the source has ended.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect; does nothing when closed."""


def can_wait(source: Source) -> bool:
    """`source.can_wait`; its default for a class that is no subclass and does not have it."""
    return bool(getattr(source, "can_wait", Source.can_wait))


def refused_messages(source: Source) -> int:
    """`source.refused_messages`; its default for a class that does not have it."""
    return int(getattr(source, "refused_messages", Source.refused_messages))
