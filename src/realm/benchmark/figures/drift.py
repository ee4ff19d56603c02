"""R² by session: those the decoders were trained on, and the later ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.cost import CostRow
from realm.benchmark.curves import point
from realm.benchmark.figures.lines import draw_curve, name_ends
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow
from realm.benchmark.tables import DRIFT_METHODS, drift_curves
from realm.evaluation.results import ResultRow
from realm.report.style import MUTED, figure_file, quiet_grid

STYLES = ("-", ":", "--")


def drift_figure(
    bench: Benchmark, rows: Sequence[BenchmarkRow], costs: Sequence[CostRow], path: Path
) -> None:
    """One panel per subject with new sessions; dotted: no labels, dashed: a few."""
    curves = drift_curves(bench, rows)
    subjects = list(dict.fromkeys(row.subject for row in curves[1][1]))
    with figure_file(path, 1.6 + 4.4 * len(subjects), 3.9) as fig:
        panels = fig.subplots(1, len(subjects), sharey=True, squeeze=False)[0]
        for ax, subject in zip(panels, subjects, strict=True):
            sessions = bench.by_subject[subject]
            own = [[row for row in found if row.subject == subject] for _, found in curves]
            _draw_subject(ax, own, sessions)
            ax.set_title(subject)
            quiet_grid(ax)
        panels[0].set_ylabel("R² on test time")
        said = (f"{text}: {kind}" for (text, _), kind in zip(curves, LINES, strict=True))
        fig.supxlabel(";  ".join(said), fontsize=9)


LINES = ("solid", "dotted", "dashed")


def _draw_subject(ax: Axes, curves: Sequence[list[ResultRow]], sessions: Sequence[str]) -> None:
    new = [place for place, s in enumerate(sessions) if any(r.session == s for r in curves[1])]
    ax.axvspan(new[0] - 0.5, len(sessions) - 0.5, color="#F5F5F5", zorder=0)
    ends: list[tuple[str, float]] = []
    for method in DRIFT_METHODS:
        for rows, style in zip(curves, STYLES, strict=True):
            points = [point([r for r in rows if r.session == s], method) for s in sessions]
            shown = [(k, at) for k, at in enumerate(points) if not math.isnan(at.mean)]
            if shown:
                places, means = zip(*shown, strict=True)
                draw_curve(ax, places, means, method, style)
                last = means[-1].mean
        ends.append((method, last))
    ax.set_xticks(range(len(sessions)), sessions, rotation=30, ha="right", color=MUTED)
    ax.set_xlim(-0.5, len(sessions) - 0.5)
    name_ends(ax, ends)
