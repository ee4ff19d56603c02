"""The same recipe on spike counts stored beside the LFP: how much accuracy the LFP loses.

Counts are binned without bands: a low-pass below half their rate, and a guard for which neither
long zeros nor large counts are faults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.cost import CostRow
from realm.benchmark.curves import point
from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, Part, of_part, with_methods
from realm.data.prepare import prepare_all
from realm.files import make_folder
from realm.methods.registry import methods_of
from realm.recipe import Recipe
from realm.recordings.open import open_recording
from realm.report.section import Picture, Section
from realm.report.style import INK, colour, figure_file, quiet_grid
from realm.report.tables import ResultTable, number
from realm.runs.run import run_prepared
from realm.signal import SignalConfig

METHODS: tuple[str, ...] = ("ridge", "scratch")
HIGHEST_HZ = 45.0  # as far as the LFP's slow potential reaches
RATE_SHARE = 0.45  # of the rate of the counts: a filter needs room above
NEVER_MS, NEVER_SCALE = 1e9, 1e6
SHARE = 0.9  # of the R² from spikes: what the LFP should reach
WIDTH = 0.36  # of a bar


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
        with open_recording(source, path) as recording:
            rates.append(recording.sampling_rate_hz)
    signal = count_signal(recipe.signal, min(rates))
    data = recipe.data.model_copy(update={"lfp": path})
    return recipe.model_copy(update={"signal": signal, "data": data})


def count_signal(signal: SignalConfig, rate_hz: float) -> SignalConfig:
    """The signal chain for counts at this rate, in bins of the same width."""
    return replace(
        signal,
        preset="slow",
        slow_hz=(0.0, min(HIGHEST_HZ, RATE_SHARE * rate_hz)),
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
        with open_recording(source, path):
            return True
    except ValueError:
        return False


def show(measured: Measured) -> list[Section]:
    """R² from LFP beside R² from spikes."""
    path = measured.figure("spikes")
    draw(measured, path)
    text = "The same methods on the spike counts of the same recordings."
    picture = Picture(path, "LFP against spikes")
    return [Section(PART.title, (text,), (picture,), (spikes_table(measured),))]


def spikes_table(measured: Measured) -> ResultTable:
    """R² from LFP, from spike counts, and their ratio."""
    spikes, lfp = measured.select("spikes"), measured.select("main")
    lines = []
    for method in methods_of(spikes):
        ours, theirs = point(lfp, method).mean, point(spikes, method).mean
        lines.append((method, number(ours), number(theirs), number(ours / theirs)))
    columns = ("Method", "R² from LFP", "R² from spike counts", "LFP / spikes")
    return ResultTable("LFP against spikes", columns, tuple(lines))


def draw(measured: Measured, path: Path) -> None:
    """Pairs of bars: full, from LFP; pale, from spike counts; dashed, nine tenths of the latter."""
    spikes, lfp = measured.select("spikes"), measured.select("main")
    methods = methods_of(spikes)
    with figure_file(path, 2.0 + 1.5 * len(methods), 3.8) as fig:
        ax = fig.subplots()
        for place, method in enumerate(methods):
            _mark_share(ax, point(spikes, method).mean, place)
            sides = ((-1, lfp, "LFP", 1.0), (1, spikes, "spikes", 0.45))
            for side, found, name, alpha in sides:
                at = point(found, method)
                if math.isnan(at.mean):
                    continue
                x = place + side * (WIDTH / 2 + 0.02)
                ax.bar(x, at.mean, WIDTH, color=colour(method), alpha=alpha)
                ax.plot([x] * len(at.seeds), at.seeds, "k.", markersize=3)
                top = max(at.mean, 0, SHARE * point(spikes, method).mean)
                ax.annotate(
                    f"{name}\n{number(at.mean)}",
                    (x, top),
                    (0, 4),
                    fontsize=8.5,
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                )
        ax.set_xticks(range(len(methods)), methods)
        ax.margins(y=0.2)
        ax.set_ylabel("R² on test time")
        ax.set_xlabel("\n".join(_bandwidths(measured.costs)), fontsize=9)
        quiet_grid(ax)


def _mark_share(ax: Axes, spikes: float, place: int) -> None:
    """Where nine tenths of the R² from spikes would be, over the bar of the LFP."""
    if spikes > 0:
        ends = (place - WIDTH - 0.04, place)
        ax.hlines(SHARE * spikes, *ends, color=INK, linestyle="--", linewidth=1.2, zorder=3)


def _bandwidths(costs: Sequence[CostRow]) -> list[str]:
    """Bits per second into the decoder, for each signal."""
    rates = {row.signal: row.input_bits_per_s for row in costs}
    lines = [f"{name}: {rate / 1000:,.1f} kbit/s" for name, rate in rates.items()]
    return [f"dashed: {SHARE:g} of the R² from spikes", *lines]


ABOUT = "the same recipe on spike counts stored beside the LFP, binned as they are"
PART = Part("LFP against spikes", ABOUT, run, impossible, show=show)
