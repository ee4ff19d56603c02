"""New sessions: R² for labelled seconds, for both ways of calibrating."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realm.benchmark.carry import MODES, variant_of
from realm.benchmark.cost import CostRow
from realm.benchmark.curves import calibration_curve
from realm.benchmark.figures.lines import draw_budgets
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow
from realm.report.style import figure_file, quiet_grid


def calibration_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """One panel per way of calibrating; ridge, fitted to the same labels, is in both."""
    with figure_file(path, 9.4, 3.8) as fig:
        panels = fig.subplots(1, len(MODES), sharey=True)
        for ax, mode in zip(panels, MODES, strict=True):
            draw_budgets(ax, calibration_curve(bench, rows, variant_of(mode)))
            ax.set_title(f"calibrated: {variant_of(mode)}")
            ax.set_xlabel("labels of the new session")
            quiet_grid(ax)
        panels[0].set_ylabel("R² on test time")
