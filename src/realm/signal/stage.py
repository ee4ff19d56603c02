"""What flows between the stages of the signal chain, and what every stage offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]
Step = Callable[[Any, Any], tuple[Any, Any]]  # of a stage: (x, state) to (y, state)


class Raw(NamedTuple):
    """The raw samples behind a chunk that was decimated."""

    n_samples: int  # that came with the chunk
    replaced: Floats  # (samples, channels), 0 to 1: share of those behind each decimated sample


class Guarded(NamedTuple):
    """Samples that are safe to filter, and which of them are not the recording's own."""

    samples: Floats  # (samples, channels), volts from each channel's centre, always finite
    bad: Flags  # (samples, channels), True where the sample was replaced
    raw: Raw | None = None  # None where the samples are the raw ones


class Banded(NamedTuple):
    """Every band of every channel at the sampling rate."""

    values: Floats  # (samples, channels, bands)
    bad: Flags  # (samples, channels)
    raw: Raw | None = None  # as in `Guarded`


class Features(NamedTuple):
    """What a decoder sees: one row per bin."""

    values: Floats  # (bins, channels, bands)
    filled: Floats  # (bins, channels), 0 to 1: share of the bin's samples that were replaced


class Stage(Protocol):
    """A causal part of the chain.

    `latency_ms` is its group delay: how much older than the newest sample, on average, is what
    the output tells. `step` takes a chunk of any length, zero included, and returns its output
    with the state for the next chunk; neither the chunk nor the state passed in is changed.
    """

    @property
    def latency_ms(self) -> float:
        """Delay that this stage adds, in ms."""

    def describe(self) -> str:
        """One line for people."""

    def initial_state(self) -> Any:
        """The state before the first sample."""

    def step(self, x: Any, state: Any, /) -> tuple[Any, Any]:
        """Continue from `state` over one chunk."""
