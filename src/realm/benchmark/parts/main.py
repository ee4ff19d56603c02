"""The main run: every method, all labels, no lookahead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, Part, of_part, with_methods
from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow
from realm.methods.registry import BASELINES, methods_of
from realm.report.section import Picture, Section
from realm.report.style import INK, MUTED, colour, figure_file, marker, quiet_grid
from realm.report.tables import accuracy_table, difference_table, number, session_table
from realm.runs.run import run_prepared


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """An ordinary run folder with all baselines, and what else the recipe names."""
    methods = dict.fromkeys((*BASELINES, *benchmark.recipe.baselines.methods))
    recipe = with_methods(benchmark.recipe, list(methods))
    rows = run_prepared(
        recipe,
        benchmark.prepared,
        benchmark.out / "main",
        jobs=benchmark.jobs,
        progress=benchmark.progress,
    )
    return of_part("main", "all labels", rows)


def show(measured: Measured) -> list[Section]:
    """Accuracy, differences and sessions."""
    rows, path = measured.select("main"), measured.figure("accuracy")
    draw(rows, path)
    picture = Picture(path, "R² of every method, and the student's distance to it")
    tables = (accuracy_table(rows), difference_table(rows), session_table(rows))
    return [Section(PART.title, (), (picture,), tables)]


def draw(main: Sequence[ResultRow], path: Path) -> None:
    """Left: mean R² and single sessions. Right: student minus method, 95% paired interval."""
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


PART = Part(
    "Every method", "every method, with all training labels and no lookahead", run, show=show
)
