"""What the checks share: the decoder under trial, a signal, and how much effort to spend."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.streaming import StreamingDecoder
from realm.streaming.runtime import Precision

SHORTEST_S = 20.0  # of signal, for the checks of recovery


class Effort(NamedTuple):
    """How much is done; every number is stated in the certificate."""

    trials: int  # random cuts and random chunkings, each
    signal_s: float  # of signal in memory, the longest chunk
    placements: int  # of every fault
    draws: int  # of dead channels
    mutations: int  # of the bundle's files
    paced_s: float  # at real pace
    hours: float  # of stream at maximum speed
    recording_s: float  # of the recording, for its accuracy


QUICK = Effort(25, 30.0, 1, 3, 40, 6.0, 0.05, 60.0)
FULL = Effort(500, 120.0, 5, 10, 500, 60.0, 1.0, 3600.0)


class Signal(NamedTuple):
    """Raw samples to decode, and where they come from."""

    samples: NDArray[np.float64]  # (samples, channels), volts
    source: str


def _silent(done: int, of: int) -> None:
    """Tell nobody how far a part is."""


@dataclass(frozen=True)
class Trial:
    """A decoder under trial.

    Attributes:
        folder: of the bundle, as it lies on disk.
        make: the decoder in a precision, and plain or not; ("float32", False) is what runs live.
        signal: at least `SHORTEST_S` of it.
        recording: a recording file, if there is one; the signal is from it.
        report: is told (done, of) within a part; what it does is outside of all that is timed.
    """

    folder: Path
    make: Callable[[Precision, bool], StreamingDecoder]
    signal: Signal
    effort: Effort
    seed: int = 0
    recording: Path | None = None
    report: Callable[[int, int], None] = field(default=_silent)

    @cached_property
    def decoder(self) -> StreamingDecoder:
        """The decoder as it runs live."""
        return self.make("float32", False)

    @property
    def rate_hz(self) -> float:
        """Rate of the samples."""
        return self.decoder.sampling_rate_hz

    @cached_property
    def usable(self) -> NDArray[np.int64]:
        """Columns of the channels that were not dead when the decoder was trained."""
        chain = self.decoder.bundle.chain
        alive = [name not in chain.dead_channels for name in chain.channel_names]
        return np.flatnonzero(alive)

    def rng(self, part: str) -> np.random.Generator:
        """Random numbers of one part, the same whatever other parts run."""
        return np.random.default_rng([self.seed, zlib.crc32(part.encode())])

    def counted(self, n: int) -> Iterator[int]:
        """Numbers below n, with a report before each."""
        for i in range(n):
            self.report(i, n)
            yield i

    def piece(self, rng: np.random.Generator, seconds: float) -> NDArray[np.float64]:
        """A stretch of the signal from a random place (a view: copy before changing it)."""
        samples = self.signal.samples
        length = min(len(samples), max(1, round(seconds * self.rate_hz)))
        start = int(rng.integers(len(samples) - length + 1))
        return samples[start : start + length]
