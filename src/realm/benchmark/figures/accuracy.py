"""Every method's R², and how far the student is from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.cost import CostRow
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow, select
from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow
from realm.methods.registry import methods_of
from realm.report.style import INK, MUTED, colour, figure_file, marker, quiet_grid
from realm.report.tables import number


def accuracy_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """Left: mean R² and single sessions. Right: student minus method, 95% paired interval."""
    main = select(rows, "main")
    methods = methods_of(main)
    with figure_file(path, 9.0, 1.3 + 0.36 * len(methods)) as fig:
        left, right = fig.subplots(1, 2, sharey=True)
        for place, method in enumerate(methods):
            _draw_scores(left, [row for row in main if row.method == method], place)
            if method != "student":
                _draw_difference(right, main, method, place)
        left.set_yticks(range(len(methods)), methods)
        left.set_ylim(len(methods) - 0.5, -0.5)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0)
        left.set_title("R² on test time")
        right.set_title("student minus method")
        right.axvline(0, color=MUTED, linewidth=1)
        left.set_xlabel("large: mean;  small: sessions;  hollow: sees the future")
        right.set_xlabel("mean and 95% paired interval")
        quiet_grid(left, "x")
        quiet_grid(right, "x")


def _draw_scores(ax: Axes, rows: Sequence[ResultRow], place: int) -> None:
    sessions = dict.fromkeys(row.session for row in rows)
    by_session = [mean_defined([r.r2 for r in rows if r.session == s]) for s in sessions]
    own, mean = colour(rows[0].method), mean_defined(by_session)
    ax.plot(by_session, [place + 0.24] * len(by_session), ".", color=own, alpha=0.6, markersize=4)
    if math.isnan(mean):
        return
    ax.plot(
        [mean],
        [place],
        marker=marker(rows[0].method),
        markersize=8,
        markeredgecolor=own,
        markeredgewidth=1.6,
        markerfacecolor=own if rows[0].causal else "white",
    )
    ax.annotate(
        number(mean),
        (mean, place),
        (8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK,
    )


def _draw_difference(ax: Axes, rows: Sequence[ResultRow], method: str, place: int) -> None:
    paired = paired_interval(rows, "student", method)
    if math.isnan(paired.mean):
        return
    own = colour(method)
    if not math.isnan(paired.low):
        ax.plot([paired.low, paired.high], [place, place], color=own, linewidth=2.4, alpha=0.7)
    ax.plot([paired.mean], [place], marker="o", markersize=6, color=own)
    ax.annotate(
        number(paired.mean, sign=True),
        (paired.mean, place),
        (0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=INK,
    )
