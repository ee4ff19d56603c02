"""One figure per claim of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from realm.benchmark.cost import CostRow
from realm.benchmark.figures.accuracy import accuracy_figure
from realm.benchmark.figures.calibration import calibration_figure
from realm.benchmark.figures.drift import drift_figure
from realm.benchmark.figures.labels import labels_figure
from realm.benchmark.figures.lookahead import lookahead_figure
from realm.benchmark.figures.spikes import spikes_figure
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow

# Name to (part that must be there, caption, how it is drawn).
Draw = Callable[[Benchmark, Sequence[BenchmarkRow], Sequence[CostRow], Path], None]
FIGURES: dict[str, tuple[str, str, Draw]] = {
    "accuracy": ("main", "R² of every method, and the student's distance to it", accuracy_figure),
    "labels": ("labels", "Few labels, and what distillation is worth then", labels_figure),
    "lookahead": ("lookahead", "R² for a little more latency", lookahead_figure),
    "calibration": ("transfer", "New sessions: R² for labelled seconds", calibration_figure),
    "drift": ("transfer", "R² by session, trained on and new", drift_figure),
    "spikes": ("spikes", "LFP against spikes", spikes_figure),
}


def draw_all(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow]
) -> list[tuple[Path, str]]:
    """Draw what there are rows for; returns (path, caption) of every figure."""
    present = {row.part for row in rows}
    drawn = []
    for name, (part, caption, draw) in FIGURES.items():
        if part in present:
            path = bench.out / "figures" / f"{name}.png"
            draw(bench, rows, costs, path)
            drawn.append((path, caption))
    return drawn
