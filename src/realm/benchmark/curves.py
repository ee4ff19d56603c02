"""Means of R² over sessions and seeds: as points of a curve, as cells of a table, as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow
from realm.methods.registry import methods_of
from realm.report.style import colour, marker, spread_labels
from realm.report.tables import ResultTable, labels_text, number

Budgets = Mapping[LabelBudget, Sequence[ResultRow]]  # rows by label budget


class Point(NamedTuple):
    """Mean R² of one method at one place of a curve, and the means of the single seeds."""

    mean: float
    seeds: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Standard deviation over seeds, NaN for fewer than two."""
        defined = [value for value in self.seeds if not math.isnan(value)]
        return float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan


def point(rows: Sequence[ResultRow], method: str) -> Point:
    """Mean over all rows of a method."""
    own = [row for row in rows if row.method == method]
    seeds = sorted({row.seed for row in own})
    by_seed = tuple(mean_defined([row.r2 for row in own if row.seed == seed]) for seed in seeds)
    return Point(mean_defined(by_seed), by_seed)


def mean_cells(at: Point) -> tuple[str, str]:
    """The mean and its spread over seeds, as a table shows them."""
    return number(at.mean), "–" if math.isnan(at.spread) else number(at.spread)


def cell(rows: Sequence[ResultRow], method: str) -> str:
    """The mean of a method and its spread in one cell."""
    if not any(row.method == method for row in rows):
        return "–"
    mean, spread = mean_cells(point(rows, method))
    return mean if spread == "–" else f"{mean} ± {spread}"


def budget_table(title: str, curve: Budgets) -> ResultTable:
    """R² by label budget, one column per method that has two budgets or more."""
    methods = methods_of([row for found in curve.values() for row in found])
    shown = [m for m in methods if sum(any(r.method == m for r in f) for f in curve.values()) > 1]
    lines = [
        (labels_text(label_s), *(cell(found, method) for method in shown))
        for label_s, found in curve.items()
        if found
    ]
    return ResultTable(title, ("Labels", *shown), tuple(lines) if len(lines) > 1 else ())


def draw_curve(
    ax: Axes, places: Sequence[float], points: Sequence[Point], method: str, style: str = "-"
) -> None:
    """The means joined by a line, single seeds as small dots."""
    own = colour(method)
    means = [at.mean for at in points]
    ax.plot(places, means, style, color=own, linewidth=1.8, marker=marker(method), markersize=6)
    for place, at in zip(places, points, strict=True):
        if len(at.seeds) > 1:
            ax.plot([place] * len(at.seeds), at.seeds, ".", color=own, markersize=3, alpha=0.6)


def draw_budgets(ax: Axes, curve: Budgets) -> None:
    """One curve per method over label budgets, named at its right end."""
    places = {label_s: place for place, label_s in enumerate(curve)}
    ends: list[tuple[str, float]] = []
    for method in methods_of([row for rows in curve.values() for row in rows]):
        points = {label_s: point(rows, method) for label_s, rows in curve.items()}
        points = {label_s: at for label_s, at in points.items() if not math.isnan(at.mean)}
        if len(points) > 1:
            draw_curve(ax, [places[b] for b in points], list(points.values()), method)
            ends.append((method, list(points.values())[-1].mean))
    ax.set_xticks(range(len(curve)), [_budget_name(label_s) for label_s in curve])
    ax.set_xlim(-0.25, len(curve) - 0.75)
    name_ends(ax, ends)


def name_ends(ax: Axes, ends: Sequence[tuple[str, float]]) -> None:
    """Names beside the right ends of curves, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    heights = [(value - low) / (high - low) for _, value in ends]
    for (method, _), height in zip(ends, spread_labels(heights, gap=0.07), strict=True):
        ax.annotate(
            method,
            (1.0, height),
            (5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour(method),
        )


def _budget_name(label_s: LabelBudget) -> str:
    return "none" if label_s == 0 else labels_text(label_s)
