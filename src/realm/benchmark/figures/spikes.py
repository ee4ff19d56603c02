"""The same recipe on LFP and on spike counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.cost import CostRow
from realm.benchmark.curves import point
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow, select
from realm.methods.registry import methods_of
from realm.report.style import INK, colour, figure_file, quiet_grid
from realm.report.tables import number

WIDTH = 0.36
SHARE = 0.9


def spikes_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """Pairs of bars: full, from LFP; pale, from spike counts; dashed, nine tenths of the latter."""
    spikes, lfp = select(rows, "spikes"), select(rows, "main")
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
        ax.set_xlabel("\n".join(_bandwidths(costs)), fontsize=9)
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
