"""What a check of the certificate gets, and what it gives back."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from realm.streaming import StreamingDecoder
from realm.streaming.folder import MANIFEST
from realm.streaming.runtime import Precision

SHORTEST_S = 20.0  # of signal, which the checks of recovery need
WINDOW_MS = 100.0  # over which a difference is averaged


class Check(NamedTuple):
    """A number held to a limit. Make it with `at_most` or `at_least`, which decide `passed`."""

    name: str
    passed: bool
    value: float | None  # None: not measured, which is never passed
    unit: str
    limit: float
    rule: str  # "at most" or "at least"
    detail: str
    catches: str = ""  # what is wrong with a decoder that fails


class Reading(NamedTuple):
    """A number without a limit that a reader should know."""

    name: str
    value: float | None  # None: undefined
    unit: str
    detail: str


class Curve(NamedTuple):
    """Numbers to draw: bars between edges (one more x than y) or a line."""

    name: str
    x: list[float]
    y: list[float]
    x_label: str
    y_label: str
    mark: float | None = None  # an x to mark
    mark_label: str = ""


Finding = Check | Reading | Curve


def at_most(
    name: str, value: float, unit: str, limit: float, detail: str, catches: str = ""
) -> Check:
    """A check that passes up to the limit; a value that is not a number fails."""
    return _check(name, value, unit, limit, "at most", bool(value <= limit), detail, catches)


def at_least(
    name: str, value: float, unit: str, limit: float, detail: str, catches: str = ""
) -> Check:
    """A check that passes from the limit on; a value that is not a number fails."""
    return _check(name, value, unit, limit, "at least", bool(value >= limit), detail, catches)


def not_measured(name: str, unit: str, limit: float, why: str, catches: str = "") -> Check:
    """A check that could not be done: it is not passed, since nothing is known."""
    return Check(name, False, None, unit, limit, "at most", f"not measured: {why}", catches)


def reading(name: str, value: float, unit: str, detail: str) -> Reading:
    """A number without a limit; what is not finite is undefined."""
    return Reading(name, _known(value), unit, detail)


def _check(
    name: str,
    value: float,
    unit: str,
    limit: float,
    rule: str,
    passed: bool,
    detail: str,
    catches: str,
) -> Check:
    known = _known(value)
    if known is None:
        detail = f"the value is {value}; {detail}"
    return Check(name, passed and known is not None, known, unit, limit, rule, detail, catches)


def _known(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


class Effort(NamedTuple):
    """How much is measured; the certificate states every number."""

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


class Clock(NamedTuple):
    """When outputs are due, by the manifest alone."""

    samples_per_bin: Fraction
    lookahead_bins: int

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The clock of the bundle in this folder."""
        facts = json.loads((folder / MANIFEST).read_text())
        bin_ms, rate = facts["bins"]["bin_ms"], facts["channels"]["sampling_rate_hz"]
        per_bin = Fraction(str(float(bin_ms))) * Fraction(str(float(rate))) / 1000
        return cls(per_bin, int(facts["bins"]["lookahead_bins"]))

    def outputs(self, n_samples: int) -> int:
        """How many outputs may and must be there after this many samples."""
        return max(0, int(n_samples / self.samples_per_bin) - self.lookahead_bins)

    def samples(self, n_bins: int) -> int:
        """How many samples complete this many bins."""
        return -int(-n_bins * self.samples_per_bin // 1)


class Signal(NamedTuple):
    """Raw samples to decode, and where they come from."""

    samples: NDArray[np.float64]  # (samples, channels), volts
    source: str


def _silent(done: int, of: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Trial:
    """The decoder that is examined, and what is needed for it.

    Attributes:
        folder: of the bundle, as it lies on disk.
        make: the decoder in a precision, and plain or not; ("float32", False) is what runs live.
        signal: at least `SHORTEST_S` of it.
        recording: a recording file, if there is one; the signal is from it.
        report: is called with (done, of) within a part, never during what is timed.
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
        """The decoder as `realm live` runs it."""
        return self.make("float32", False)

    @property
    def rate_hz(self) -> float:
        """Rate of the samples."""
        return self.decoder.sampling_rate_hz

    @cached_property
    def clock(self) -> Clock:
        """Which outputs the clock allows; from the manifest, not from the decoder."""
        return Clock.of(self.folder)

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


def r2(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """Share of the variance of `truth` in `found`, mean over dims; rows with NaN are left out."""
    truth, found = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    known = np.isfinite(truth).all(axis=1)
    truth, found = truth[known], found[known]
    if not len(truth):
        return float("nan")
    total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    if not (total > 0).all():
        return float("nan")
    return float(np.mean(1 - np.square(truth - found).sum(axis=0) / total))


def deviation(exact: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference as a share of the spread of `exact`."""
    spread = exact.std(axis=0)
    if exact.shape != found.shape or not len(exact) or not (spread > 0).all():
        return float("nan")
    return float((np.abs(exact - found) / spread).max())


def back_after_s(
    clean: NDArray[Any], found: NDArray[Any], spread: NDArray[Any], bin_ms: float, share: float
) -> float:
    """Seconds from the first row until the difference stays below `share` of the spread.

    The difference is the root mean square over `WINDOW_MS`; NaN if it does not come back.
    """
    width = max(1, round(WINDOW_MS / bin_ms))
    squares = np.square((np.asarray(clean, np.float64) - found) / spread).mean(axis=1)
    rms = np.sqrt(np.convolve(squares, np.ones(width) / width, "valid"))
    outside = np.flatnonzero(~(rms <= share))
    if not len(outside):
        return 0.0
    last = int(outside[-1]) + 1
    return float("nan") if last >= len(rms) else last * bin_ms / 1000


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal in shape, type and every bit."""
    return (one.shape, one.dtype) == (other.shape, other.dtype) and one.tobytes() == other.tobytes()


class Part(NamedTuple):
    """One section of the certificate: a question, and the function that answers it.

    Another package adds one with an entry point in its `pyproject.toml`; it comes after ours:

        [project.entry-points."realm.checks"]
        drift = "my_package:DRIFT"

        DRIFT = Part("Drift", "Is the output stable over a day?", check_drift)    # in my_package
    """

    title: str  # different from those of all others
    question: str
    run: Callable[[Trial], list[Finding]]
    added_by: str = ""  # the package, set for parts that are not ours
