"""What flows between the stages of the signal chain; what every stage and every feature offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
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


class Feature(ABC):
    """One number for every sample of every channel: the base class of all kinds.

    A kind takes these four arguments, and its settings, by keyword.

    Args:
        name: of the feature.
        band_hz: (low, high), the frequencies that it looks at. Decimation and line noise removal
            keep this band clean.
        n_channels: columns of the samples.
        sampling_rate_hz: of the samples that arrive, which may have been decimated.
    """

    # True for a power, above zero and in volts squared: its logarithm is taken after binning.
    logarithmic = False

    def __init__(
        self, name: str, band_hz: tuple[float, float], n_channels: int, sampling_rate_hz: float
    ) -> None:
        self.name, self.band_hz = name, band_hz
        self.n_channels, self.sampling_rate_hz = n_channels, sampling_rate_hz

    @property
    @abstractmethod
    def latency_ms(self) -> float:
        """Its group delay, in ms; a number of the class will do."""

    def describe(self) -> str:
        """One line for people."""
        low, high = self.band_hz
        return f"{self.name}: {type(self).__name__} {low:g} to {high:g} Hz"

    @abstractmethod
    def initial_state(self) -> Floats:
        """The state before the first sample, float64 (rows, channels); always of this shape."""

    @abstractmethod
    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """The feature of one chunk of any length, (samples, channels), and the state after it.

        It must not depend on how a stream is cut into chunks, nor change `x` or `state`. Samples
        are finite; those under `x.bad` were replaced. Channels do not mix.
        """

    def array_names(self) -> tuple[str, ...]:
        """Names of `arrays`."""
        return tuple(self.arrays())

    def arrays(self) -> dict[str, Floats]:
        """What a bundle carries so that a rig computes the same to the bit: none by default."""
        return {}

    def use(self, arrays: Mapping[str, Floats]) -> None:
        """Compute with the arrays of a bundle, which have the names and shapes of `arrays`.

        By default they must equal `arrays`. A kind whose numbers may round differently on another
        machine overrides it, checks what it is given, and computes with that.

        Raises:
            ValueError: they are not what the settings give.
        """
        for name, own in self.arrays().items():
            if not np.array_equal(own, arrays[name]):
                raise ValueError(f"expected {name!r} as the settings give it, got other numbers")
