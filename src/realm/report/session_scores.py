"""R² of every method in every session, with its confidence and its spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow, Split
from realm.methods.registry import methods_of
from realm.report.style import INK, MUTED, colour, figure_file, marker, quiet_grid
from realm.report.tables import label_budgets, labels_text, number


def r2_figure(rows: Sequence[ResultRow], path: Path | str, *, split: Split = "test") -> None:
    """R² of every method in every session and on average, one panel per label budget.

    Large marker: mean over seeds; small dots: single seeds; bar: 95% interval over 5 s blocks
    (mean over seeds). Hollow markers are methods that look at the whole future.

    Raises:
        ValueError: no row belongs to the split.
    """
    rows = [row for row in rows if row.split == split]
    if not rows:
        raise ValueError(f"expected rows of the {split} split, found none; evaluate that split")
    budgets, methods = label_budgets(rows), methods_of(rows)
    sessions = list(dict.fromkeys(row.session for row in rows))
    line = 0.2 if len(sessions) <= 8 else 0.13
    height = 1.4 + (len(sessions) + 1) * (len(methods) * line + 0.18)
    low = _lowest_shown(rows)
    with figure_file(path, 3.4 + 4.6 * len(budgets), height) as fig:
        panels = fig.subplots(1, len(budgets), sharey=True, squeeze=False)[0]
        for ax, label_s in zip(panels, budgets, strict=True):
            panel = [row for row in rows if row.label_s == label_s]
            _draw_r2_panel(ax, panel, methods, sessions, low)
            ax.set_title(
                "all training labels" if label_s == "all" else f"{labels_text(label_s)} of labels"
            )
        hollow = "" if all(row.causal for row in rows) else "  Hollow: sees the future."
        fig.supxlabel(f"R² on {split} time.  Bar: 95% interval.  Dots: seeds.{hollow}", fontsize=10)


def _lowest_shown(rows: Sequence[ResultRow]) -> float:
    """Left end of the R² axis: far failures are cut off and marked."""
    values = [value for row in rows for value in (row.r2, row.r2_low) if not math.isnan(value)]
    return max(-0.25, min([-0.05, *(value - 0.04 for value in values)]))


def _draw_r2_panel(
    ax: Axes,
    rows: Sequence[ResultRow],
    methods: Sequence[str],
    sessions: Sequence[str],
    low: float,
) -> None:
    band = len(methods) + 1.0
    for place, session in enumerate(["mean over sessions", *sessions]):
        if place % 2 == 0:
            ax.axhspan(place * band - 0.75, (place + 1) * band - 0.75, color="#F5F5F5", zorder=0)
        for rank, method in enumerate(methods):
            group = [row for row in rows if row.method == method]
            y = place * band + rank + 0.25
            if place == 0:
                _draw_mean(ax, group, method, y, low)
            else:
                _draw_session(ax, [row for row in group if row.session == session], method, y, low)
    centres = [place * band + (band - 1.5) / 2 for place in range(len(sessions) + 1)]
    ax.set_yticks(centres, ["mean over sessions", *sessions])
    for text in ax.get_yticklabels()[:1]:
        text.set_fontweight("bold")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim((len(sessions) + 1) * band - 0.75, -0.75)
    ax.set_xlim(low, 1.0)
    ax.axvline(0.0, color=MUTED, linewidth=1.0)
    quiet_grid(ax, "x")


def _draw_mean(ax: Axes, group: Sequence[ResultRow], method: str, y: float, low: float) -> None:
    if not group:
        return
    by_session = [
        mean_defined([row.r2 for row in group if row.session == session])
        for session in dict.fromkeys(row.session for row in group)
    ]
    seeds = [
        mean_defined([row.r2 for row in group if row.seed == seed])
        for seed in dict.fromkeys(row.seed for row in group)
    ]
    mean = mean_defined(by_session)
    _draw_point(ax, group[0], mean, seeds, (math.nan, math.nan), y, low)
    ax.annotate(
        f"{method}  {number(mean, digits=2)}",
        xy=(1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9.5,
        color=INK,
        weight="bold" if method == "student" else "normal",
    )


def _draw_session(ax: Axes, group: Sequence[ResultRow], method: str, y: float, low: float) -> None:
    if not group:
        return
    limits = (mean_defined([r.r2_low for r in group]), mean_defined([r.r2_high for r in group]))
    mean = mean_defined([row.r2 for row in group])
    _draw_point(ax, group[0], mean, [row.r2 for row in group], limits, y, low)


def _draw_point(
    ax: Axes,
    row: ResultRow,
    mean: float,
    seeds: Sequence[float],
    limits: tuple[float, float],
    y: float,
    low: float,
) -> None:
    own = colour(row.method)
    if math.isnan(mean):
        ax.text(0.02, y, "undefined", color=MUTED, va="center", fontsize=8.5, style="italic")
        return
    if not math.isnan(limits[0]):
        ax.plot(
            [max(limits[0], low), max(limits[1], low)], [y, y], color=own, linewidth=2, alpha=0.6
        )
    if mean < low:
        text = f"◀ {number(mean, digits=2)}"
        ax.text(low + 0.01, y, text, color=INK, va="center", fontsize=8.5)
        return
    if len(seeds) > 1:
        inside = [value for value in seeds if value >= low]
        ax.plot(inside, [y] * len(inside), ".", color=INK, markersize=3.0, alpha=0.8, zorder=4)
    face = own if row.causal else "white"
    ax.plot(
        [mean],
        [y],
        marker=marker(row.method),
        markersize=7.0,
        markerfacecolor=face,
        markeredgecolor=own,
        markeredgewidth=1.6,
        zorder=3,
    )
