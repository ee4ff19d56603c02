"""How long a step takes, at real pace and after a start."""

from __future__ import annotations

import contextlib
import gc
import math
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import Curve, Finding, Trial, at_most, not_measured, reading
from realm.certify.environment import give_memory_back
from realm.live.status import LOWEST_MS, PER_DECADE, Histogram
from realm.streaming import StreamingDecoder

WARM_UP = 50  # bins
LONGEST_S = 30.0
TIMEOUT_S = 300.0
ALLOWED_SHARE = 0.5  # of a bin for a step; the rest is for the amplifier, transport and sinks

Samples = NDArray[np.float64]


def bin_ends(n: int, per_bin: float) -> int:
    """How many samples complete n bins."""
    return math.ceil(n * per_bin - 1e-9)


class Stream:
    """A stream that is decoded one bin per step, of a signal that is repeated."""

    def __init__(self, decoder: StreamingDecoder, samples: Samples) -> None:
        self.decoder, self.samples = decoder, samples
        self.state = decoder.initial_state()
        self.per_bin = decoder.sampling_rate_hz * decoder.bin_ms / 1000
        self.bins, self.at, self.outputs, self.not_finite = 0, 0, 0, 0
        dims = len(decoder.bundle.behavior_names)
        self.sums, self.squares = np.zeros(dims), np.zeros(dims)  # of the outputs

    def chunk(self) -> Samples:
        """The samples that complete the next bin."""
        n = bin_ends(self.bins + 1, self.per_bin) - bin_ends(self.bins, self.per_bin)
        self.bins += 1
        self.at = 0 if self.at + n > len(self.samples) else self.at
        self.at += n
        return self.samples[self.at - n : self.at]

    def step(self) -> float:
        """Decode the next bin; the seconds that the step itself took."""
        chunk = self.chunk()
        start = time.perf_counter()
        decoded, self.state = self.decoder.step(chunk, self.state)
        taken = time.perf_counter() - start
        self.outputs += len(decoded.behavior)
        self.not_finite += not np.isfinite(decoded.behavior).all()
        self.last = decoded.behavior
        behavior = decoded.behavior.astype(np.float64)
        self.sums += behavior.sum(axis=0)
        self.squares += np.square(behavior).sum(axis=0)
        return taken

    def kept(self, bins: int) -> Samples:
        """The outputs of this many steps."""
        parts = []
        for _ in range(bins):
            self.step()
            parts.append(self.last.copy())
        return np.concatenate(parts)

    def beside(self, decoder: StreamingDecoder) -> Stream:
        """A stream that starts afresh with this decoder, at the same place of the signal."""
        other = Stream(decoder, self.samples)
        other.at = self.at
        return other

    def run(self, bins: int) -> NDArray[np.float64]:
        """The seconds that each of this many steps took."""
        return np.fromiter((self.step() for _ in range(bins)), np.float64, bins)


@contextlib.contextmanager
def as_live() -> Iterator[None]:
    """Keep loaded objects out of garbage collection, as `realm live` does."""
    gc.collect()
    gc.freeze()
    give_memory_back()
    try:
        yield
    finally:
        gc.unfreeze()


class StepTimes(Histogram):
    """A histogram of durations that also counts those above a deadline, in ms."""

    def __init__(self, deadline_ms: float) -> None:
        super().__init__()
        self.deadline_ms, self.n, self.missed = deadline_ms, 0, 0

    def add(self, latency_ms: NDArray[np.float64]) -> None:
        """Count these durations."""
        super().add(latency_ms)
        self.n += latency_ms.size
        self.missed += int((latency_ms > self.deadline_ms).sum())

    def merge(self, other: StepTimes) -> None:
        """Count all durations of another one."""
        self.counts += other.counts
        self.n += other.n
        self.missed += other.missed
        self.largest_ms = max(self.largest_ms, other.largest_ms)

    def at(self, percent: float) -> float:
        """This percentile in ms, at most 2% too large; NaN without any duration."""
        return self.percentile(percent) if self.n else float("nan")

    def missed_per_million(self) -> float:
        """Durations above the deadline, per million; NaN without any duration."""
        return 1e6 * self.missed / self.n if self.n else float("nan")

    def bars(self, joined: int = 3) -> tuple[list[float], list[float]]:
        """Edges in ms (one more than counts) and counts, with `joined` steps in each bar."""
        filled = np.flatnonzero(self.counts)
        if not len(filled):
            return [LOWEST_MS], []
        first = int(filled[0]) // joined
        last = int(filled[-1]) // joined + 1
        counts = self.counts.reshape(-1, joined).sum(axis=1)[first:last]
        edges = LOWEST_MS * 10 ** (joined * np.arange(first, last + 1.0) / PER_DECADE)
        return edges.tolist(), counts.astype(float).tolist()


def check_pace(trial: Trial) -> list[Finding]:
    """Measure step times while samples come as from an amplifier."""
    decoder = trial.decoder
    bins = max(10, round(1000 * trial.effort.paced_s / decoder.bin_ms))
    steps, late = StepTimes(decoder.bin_ms), StepTimes(decoder.bin_ms)
    stream = Stream(decoder, trial.signal.samples)
    with as_live():
        begun = time.perf_counter()
        for bin_ in range(bins + WARM_UP):
            if bin_ % 50 == 0:
                trial.report(bin_, bins + WARM_UP)
            due = begun + (bin_ + 1) * decoder.bin_ms / 1000
            time.sleep(max(0.0, due - time.perf_counter()))
            taken = stream.step()
            if bin_ >= WARM_UP:
                steps.add(np.array([1000 * taken]))
                late.add(np.array([1000 * (time.perf_counter() - due)]))
    text = f"{bins} bins at real pace, {decoder.bin_ms:g} ms each"
    return [
        at_most(
            "step time at real pace, p99",
            steps.at(99),
            "ms",
            ALLOWED_SHARE * decoder.bin_ms,
            text,
            "steps that are quick in a row but not when samples come one bin at a time",
        ),
        reading("step time at real pace, p50", steps.at(50), "ms", text),
        reading(
            "output after its bin ended, p99",
            late.at(99),
            "ms",
            f"{text}; includes the time until the system wakes the process",
        ),
        Curve(
            "Time of one step at real pace",
            *steps.bars(),
            "ms",
            "steps, log scale",
            decoder.bin_ms,
            "one bin",
        ),
    ]


STARTING = """
import time
begun = time.perf_counter()
import sys
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
bins = 1 + decoder.bundle.lookahead_bins
n = int(np.ceil(bins * decoder.sampling_rate_hz * decoder.bin_ms / 1000))
samples = np.random.default_rng(0).normal(size=(n, len(decoder.channel_names))) * 1e-5
first = time.perf_counter()
decoded, _ = decoder.step(samples, decoder.initial_state())
assert len(decoded.behavior) >= 1
end = time.perf_counter()
print(end - begun, end - first)
"""


def check_start(trial: Trial) -> list[Finding]:
    """Load the bundle in a new process and decode one bin."""
    name = "from start to first output"
    try:
        done = subprocess.run(
            [sys.executable, "-c", STARTING, str(trial.folder)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        return [not_measured(name, "s", LONGEST_S, why)]
    whole, first = (float(value) for value in done.stdout.split()[-2:])
    text = "a new process loads libraries, bundle and compiled code, and decodes one bin"
    return [
        at_most(name, whole, "s", LONGEST_S, text, "a restart that takes too long"),
        reading("first step", 1e3 * first, "ms", "the first call after loading, in that process"),
    ]
