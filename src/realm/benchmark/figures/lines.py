"""Curves of R² as all figures of the benchmark draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from realm.benchmark.curves import Point, point
from realm.evaluation.results import LabelBudget, ResultRow
from realm.methods.registry import methods_of
from realm.report.style import colour, marker, spread_labels
from realm.report.tables import labels_text


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


def draw_budgets(ax: Axes, curve: dict[LabelBudget, list[ResultRow]]) -> None:
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
