"""R² of the student for a little more latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realm.benchmark.cost import CostRow
from realm.benchmark.curves import latency_ms, lookahead_curve, point
from realm.benchmark.figures.lines import draw_curve
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow, select
from realm.methods.registry import methods_of
from realm.report.style import colour, figure_file, quiet_grid
from realm.report.tables import number


def lookahead_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """Students by total latency; dashed, the methods with the whole future that reach more.

    Those that reach less than the student without lookahead are left out: the curve would be flat.
    """
    curve, base = lookahead_curve(rows), latency_ms(bench)
    with figure_file(path, 6.4, 4.0) as fig:
        ax = fig.subplots()
        points = [point(found, "student") for found in curve.values()]
        draw_curve(ax, [base + wait for wait in curve], points, "student")
        for wait, at in zip(curve, points, strict=True):
            ax.annotate(
                f"+{wait:g} ms: {number(at.mean)}",
                (base + wait, at.mean),
                (9, -4),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize=8.5,
            )  # below and to the right, where a rising curve leaves room
        main = select(rows, "main")
        for method in methods_of([row for row in main if not row.causal]):
            height = point(main, method).mean
            if height < points[0].mean:
                continue
            ax.axhline(height, color=colour(method), linestyle="--", linewidth=1.2)
            ax.annotate(
                method,
                (1.0, height),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=colour(method),
            )
        ax.margins(x=0.2, y=0.2)
        ax.set_xlabel(f"latency, ms: signal chain and bin {number(base, digits=0)}, plus lookahead")
        ax.set_ylabel("R² on test time")
        quiet_grid(ax)
