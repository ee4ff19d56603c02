"""What a source of samples is: it opens, gives blocks of samples with their times, and closes.

A source only hands on what arrived. Matching channels by name, units, gaps, order and clocks are
judged after it, once for all sources.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class StreamInfo(NamedTuple):
    """What a source says of itself when it opens."""

    name: str
    channel_names: tuple[str, ...]
    sampling_rate_hz: float  # nominal
    unit: str  # of the samples: V, mV, uV or nV


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
    """Where samples come from."""

    def open(self) -> StreamInfo:
        """Connect, within a few seconds, and say what will come; called again after a loss.

        Raises:
            SourceLostError: nothing is there (yet).
            ValueError: it is there but can never be used; the message says what to do.
        """
        ...

    def read(self, timeout_s: float) -> Block | None:
        """The samples that arrived since the last call; None if none arrived in this time.

        Raises:
            SourceLostError: the source went away.
            SourceEndedError: it has come to its end.
        """
        ...

    def close(self) -> None:
        """Let go; harmless when closed."""
        ...
