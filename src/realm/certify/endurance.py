"""A long stream at maximum speed: step times and memory, and whether they grow."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import (
    Curve,
    Finding,
    Trial,
    at_least,
    at_most,
    not_measured,
    r2,
    reading,
)
from realm.certify.environment import NOT_HERE, load, resident_mb
from realm.certify.faults import SMALLEST_R2
from realm.certify.timing import ALLOWED_SHARE, StepTimes, Stream, as_live
from realm.streaming import StreamingDecoder

PARTS = 10  # of the stream, to compare the last with the first
WARM_UP = 0.1  # share of the stream that comes before it is measured,
SHORTEST_WARM_UP = 1000  # at least this many bins
READINGS = 100  # of memory
MOST_SLOPE = 1.0  # MB per hour of stream
MOST_GROWTH = 1.5  # of the median step time, last tenth over first
STRETCH_S = 15.0  # over which the spread of the output is taken
LEAST_SPREAD = 0.25
BESIDE_S, SETTLED_S = 20.0, 10.0  # a second decoder runs beside it at the end
MOST_MISSED = 1000.0  # bins per million that took longer than a bin

SLOW = "a machine or a decoder that is too slow for the width of its bins"
LEAK = "memory that grows for as long as the stream runs"

Samples = NDArray[np.float64]


class Endured(NamedTuple):
    """What was measured of a long stream, after its warm-up."""

    tenths: list[StepTimes]
    hours: list[float]  # of stream, when memory was read
    memory_mb: list[float]  # empty where it cannot be read
    bins: int
    outputs: int  # that came
    not_finite: int
    collections: int  # by Python's garbage collector
    wall_s: float
    spreads: tuple[NDArray[np.float64], ...] = ()  # deviation of the outputs in each stretch of it
    end: NDArray[np.float64] = np.empty((0, 1))  # the outputs of its end,
    afresh: NDArray[np.float64] = np.empty((0, 1))  # and of a decoder that was started for it


def endure(
    decoder: StreamingDecoder,
    samples: Samples,
    bins: int,
    report: Callable[[int, int], None],
    another: Callable[[], StreamingDecoder] | None = None,
) -> Endured:
    """Decode this many bins, one bin per step, of a signal that is repeated.

    At the end, `another` decoder starts beside it, and both decode the same samples.
    """
    warm_up = max(SHORTEST_WARM_UP, round(WARM_UP * bins))
    every = max(1, bins // READINGS)
    tenths = [StepTimes(decoder.bin_ms) for _ in range(PARTS)]
    hours: list[float] = []
    memory: list[float] = []
    stream = Stream(decoder, samples)
    stream.run(warm_up)
    stream.outputs, stream.not_finite = 0, 0
    collections, begun = _collections(), time.perf_counter()
    stretch, spreads = round(1000 * STRETCH_S / decoder.bin_ms), []
    from_bin, before = 0, (stream.sums.copy(), stream.squares.copy())
    for done in range(0, bins, every):
        report(done, bins)
        taken = stream.run(min(every, bins - done))
        tenths[done * PARTS // bins].add(1000 * taken)
        resident = resident_mb()
        if resident is not None:
            hours.append((done + len(taken)) * decoder.bin_ms / 3.6e6)
            memory.append(resident)
        if done + len(taken) - from_bin >= stretch:
            now = stream.sums.copy(), stream.squares.copy()
            n = done + len(taken) - from_bin
            mean, square = ((a - b) / n for a, b in zip(now, before, strict=True))
            spreads.append(np.sqrt(np.maximum(0.0, square - np.square(mean))))
            from_bin, before = done + len(taken), now
    wall = time.perf_counter() - begun
    collections = _collections() - collections
    outputs, not_finite = stream.outputs, stream.not_finite
    beside = None if another is None else stream.beside(another())
    n = round(1000 * BESIDE_S / decoder.bin_ms)
    end = stream.kept(n)
    afresh = end[:0] if beside is None else beside.kept(n)
    return Endured(
        tenths,
        hours,
        memory,
        bins,
        outputs,
        not_finite,
        collections,
        wall,
        tuple(spreads),
        end,
        afresh,
    )


def slope(x: list[float], y: list[float]) -> float:
    """The median of the slopes of all pairs (Theil-Sen); single jumps hardly change it."""
    if len(x) < 2:
        return float("nan")
    one, other = np.triu_indices(len(x), 1)
    rise, run = np.subtract(y, 0.0), np.subtract(x, 0.0)
    return float(np.median((rise[other] - rise[one]) / (run[other] - run[one])))


def check_endurance(trial: Trial) -> list[Finding]:
    """Decode hours of stream bin by bin, as fast as possible."""
    decoder = trial.decoder
    bins = max(PARTS, round(3.6e6 * trial.effort.hours / decoder.bin_ms))
    with as_live():
        found = endure(
            decoder,
            trial.signal.samples,
            bins,
            trial.report,
            lambda: trial.make("float32", False),
        )
    return judged(decoder, found)


def judged(decoder: StreamingDecoder, found: Endured) -> list[Finding]:
    """The checks of a long stream."""
    hours = found.bins * decoder.bin_ms / 3.6e6
    whole = StepTimes(decoder.bin_ms)
    for tenth in found.tenths:
        whole.merge(tenth)
    shown = f"{found.bins} bins of {decoder.bin_ms:g} ms ({hours:.3g} h of stream) in a row"
    first, last = (found.tenths[i].at(50) for i in (0, -1))
    findings: list[Finding] = [
        at_most(
            "bins without an output, or with one that is not finite",
            abs(found.bins - found.outputs) + found.not_finite,
            "bins",
            0,
            shown,
            "lost outputs, numbers that overflow in the long run",
        ),
        *_liveness(decoder, found),
        *_latency(decoder, whole, found),
        at_most(
            "median step, last tenth over first",
            last / first,
            "ratio",
            MOST_GROWTH,
            f"{1000 * first:.0f} µs, then {1000 * last:.0f} µs",
            "steps that take ever longer",
        ),
        _memory(found, hours),
        reading(
            "speed",
            hours * 3600 / found.wall_s,
            "times real time",
            f"{hours:.3g} h of stream in {found.wall_s:.0f} s",
        ),
        _histogram("Time of one step", whole, decoder.bin_ms),
    ]
    if found.memory_mb:
        findings.append(
            Curve("Resident memory", found.hours, found.memory_mb, "hours of stream", "MB")
        )
    return findings


def _liveness(decoder: StreamingDecoder, found: Endured) -> list[Finding]:
    """Whether the outputs still follow the signal: in every stretch, and at the end."""
    findings: list[Finding] = []
    if found.spreads:
        spreads = np.array(found.spreads)
        usual = np.maximum(np.median(spreads, axis=0), np.finfo(np.float64).tiny)
        findings.append(
            at_least(
                "least spread of the output, over the usual one",
                float((spreads / usual).min()),
                "ratio",
                LEAST_SPREAD,
                f"{len(spreads)} stretches of {STRETCH_S:g} s or more, dim by dim",
                "an output that stands still after minutes or hours",
            )
        )
    if len(found.afresh):
        settled = round(1000 * SETTLED_S / decoder.bin_ms)
        rows = min(len(found.end), len(found.afresh)) - settled
        findings.append(
            at_least(
                "at the end, against a decoder started afresh",
                r2(found.afresh[-rows:], found.end[-rows:]),
                "R²",
                SMALLEST_R2,
                f"both decode the same {BESIDE_S:g} s at the end; compared after {SETTLED_S:g} s",
                "a drift, numbers that grow, channels lost in the long run",
            )
        )
    return findings


def _latency(decoder: StreamingDecoder, whole: StepTimes, found: Endured) -> list[Finding]:
    allowed = ALLOWED_SHARE * decoder.bin_ms
    collector = "on" if gc.isenabled() else "off"
    text = (
        f"one step on one bin of samples, warm, {found.bins} bins; garbage collector {collector}, "
        f"{found.collections} collections; load of the machine {load()}"
    )
    return [
        at_most("step time, p50", whole.at(50), "ms", allowed, text, SLOW),
        at_most("step time, p99", whole.at(99), "ms", allowed, text, SLOW),
        at_most("step time, p99.9", whole.at(99.9), "ms", decoder.bin_ms, text, SLOW),
        reading("step time, longest", whole.largest_ms, "ms", text),
        at_most(
            "deadline misses",
            whole.missed_per_million(),
            "per million bins",
            MOST_MISSED,
            f"{whole.missed} of {whole.n} steps took longer than a bin, {decoder.bin_ms:g} ms",
            SLOW,
        ),
    ]


def _memory(found: Endured, hours: float) -> Finding:
    name, unit = "memory slope", "MB per hour"
    if not found.memory_mb:
        return not_measured(name, unit, MOST_SLOPE, NOT_HERE, LEAK)
    return at_most(
        name,
        slope(found.hours, found.memory_mb),
        unit,
        MOST_SLOPE,
        f"resident memory over {hours:.3g} h of stream, {len(found.hours)} readings, median of "
        f"the slopes of all pairs; {found.memory_mb[0]:.1f} MB, then {found.memory_mb[-1]:.1f} MB",
        LEAK,
    )


def _histogram(name: str, times: StepTimes, deadline_ms: float) -> Curve:
    return Curve(name, *times.bars(), "ms", "steps, log scale", deadline_ms, "one bin")


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())
