"""Few labels on the last session: R² by budget, and what distillation is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from realm.benchmark.cost import CostRow
from realm.benchmark.curves import label_curve
from realm.benchmark.figures.lines import draw_budgets
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow
from realm.evaluation.comparison import paired_interval
from realm.report.style import MUTED, colour, figure_file, quiet_grid
from realm.report.tables import labels_text, number


def labels_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """Left: R² of the sessions with few labels. Right: student minus scratch."""
    curve = label_curve(bench, rows)
    with figure_file(path, 9.0, 3.8) as fig:
        left, right = fig.subplots(1, 2, width_ratios=(1.2, 1))
        draw_budgets(left, curve)
        left.set_title("last session of each subject")
        left.set_xlabel("its labels")
        left.set_ylabel("R² on test time")
        for place, (label_s, found) in enumerate(curve.items()):
            gain = paired_interval(found, "student", "scratch", label_s=label_s)
            if not math.isnan(gain.low):
                right.plot([place] * 2, [gain.low, gain.high], color=colour("student"), alpha=0.6)
            right.plot([place], [gain.mean], "o", color=colour("student"), markersize=7)
            right.annotate(
                number(gain.mean, sign=True),
                (place, gain.mean),
                (9, 0),
                fontsize=9,
                textcoords="offset points",
                va="center",
            )
        right.set_xticks(range(len(curve)), [labels_text(label_s) for label_s in curve])
        right.set_xlim(-0.4, len(curve) - 0.3)
        right.axhline(0, color=MUTED, linewidth=1)
        right.set_title("student minus scratch")
        right.set_xlabel("labels;  bar: 95% paired interval")
        quiet_grid(left)
        quiet_grid(right)
