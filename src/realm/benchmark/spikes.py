"""The same recipe on spike counts stored beside the LFP: what the LFP gives away.

Counts are binned as they are: a low-pass below half their rate instead of bands, and a guard that
takes neither long zeros nor large counts for faults.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from realm.benchmark.part import Benchmark, Part, with_methods
from realm.benchmark.rows import BenchmarkRow, of_part
from realm.data.prepare import prepare_all
from realm.files import make_folder
from realm.recipe import Recipe
from realm.recordings.recording import Recording
from realm.runs.run import run_prepared
from realm.signal import SignalConfig

METHODS: tuple[str, ...] = ("ridge", "scratch")
HIGHEST_HZ = 45.0  # as far as the LFP's slow potential reaches
SHARE = 0.45  # of the rate of the counts: a filter needs room above
NEVER_MS, NEVER_SCALE = 1e9, 1e6


def impossible(benchmark: Benchmark) -> str | None:
    """Every recording must hold the counts."""
    path = benchmark.recipe.benchmark.spikes
    without = [source.name for source in benchmark.recordings if not _has(source, path)]
    if not without:
        return None
    return f"no spike counts at {path!r} in {', '.join(without)}"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """A run folder of its own, with prepared files of its own."""
    out = make_folder(benchmark.out / "spikes")
    recipe = on_spikes(benchmark)
    prepared = prepare_all(
        benchmark.recordings, out / "prepared", recipe.signal, recipe.data, workers=benchmark.jobs
    )
    rows = run_prepared(recipe, prepared, out, jobs=benchmark.jobs, progress=benchmark.progress)
    return of_part("spikes", "spike counts", rows)


def on_spikes(benchmark: Benchmark) -> Recipe:
    """The recipe that reads the counts."""
    recipe = with_methods(benchmark.recipe, METHODS)
    path = recipe.benchmark.spikes
    rates = []
    for source in benchmark.recordings:
        with Recording.open(source, path) as recording:
            rates.append(recording.sampling_rate_hz)
    signal = count_signal(recipe.signal, min(rates))
    data = recipe.data.model_copy(update={"lfp": path})
    return recipe.model_copy(update={"signal": signal, "data": data})


def count_signal(signal: SignalConfig, rate_hz: float) -> SignalConfig:
    """The signal chain for counts at this rate, in bins of the same width."""
    return replace(
        signal,
        preset="slow",
        slow_hz=(0.0, min(HIGHEST_HZ, SHARE * rate_hz)),
        bands_hz={},
        line_hz=None,
        reference="none",
        flat_ms=0.0,
        saturated_ms=NEVER_MS,
        dead_ms=NEVER_MS,
        limit_scale=NEVER_SCALE,
    )


def _has(source: Path, path: str) -> bool:
    try:
        with Recording.open(source, path):
            return True
    except ValueError:
        return False


ABOUT = "the same recipe on spike counts stored beside the LFP, binned as they are"
PART = Part(ABOUT, impossible, run)
