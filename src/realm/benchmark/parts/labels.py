"""Few labels on the last day: only the last session of every subject has a label budget.

Everything is trained again for each budget, the teacher too, since it uses labels.
"""

from __future__ import annotations

import math
from pathlib import Path

from realm.benchmark.curves import Budgets, budget_table, draw_budgets
from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, Part, of_part, with_methods
from realm.evaluation.comparison import paired_interval
from realm.evaluation.results import LabelBudget, ResultRow
from realm.recipe import LabelsConfig
from realm.report.section import Picture, Section
from realm.report.style import MUTED, colour, figure_file, quiet_grid
from realm.report.tables import ResultTable, interval, labels_text, number
from realm.runs.run import run_prepared

METHODS: tuple[str, ...] = ("ridge", "gru", "scratch", "teacher_probe")
FEWEST_SESSIONS = 2  # of a subject


def target_sessions(benchmark: Benchmark) -> list[str]:
    """The last session of every subject that has others."""
    subjects = benchmark.by_subject.values()
    return [sessions[-1] for sessions in subjects if len(sessions) >= FEWEST_SESSIONS]


def impossible(benchmark: Benchmark) -> str | None:
    """It takes a subject with an earlier session to learn from."""
    if target_sessions(benchmark):
        return None
    return "every subject has a single session, so none has an earlier one to learn from"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """One run folder per label budget."""
    found = []
    for label_s in benchmark.recipe.benchmark.label_s:
        labels = LabelsConfig(budget_s=label_s, sessions=tuple(target_sessions(benchmark)))
        recipe = with_methods(benchmark.recipe, METHODS).model_copy(update={"labels": labels})
        rows = run_prepared(
            recipe,
            benchmark.prepared,
            benchmark.out / f"labels{label_s:g}",
            jobs=benchmark.jobs,
            progress=benchmark.progress,
        )
        found += of_part("labels", f"{label_s:g} s", rows)
    return found


def show(measured: Measured) -> list[Section]:
    """R² by budget, and what distillation adds at each."""
    curve, path = label_curve(measured), measured.figure("labels")
    draw(curve, path)
    text = (
        "Trained with few labelled seconds of the last session and all labels of the earlier ones."
    )
    title = "Few labels on the last session of each subject, all on the others"
    tables = [budget_table(title, curve), gain_table(curve)]
    picture = Picture(path, "R² with few labels, and what distillation adds")
    return [Section(PART.title, (text,), (picture,), tuple(t for t in tables if t.rows))]


def label_curve(measured: Measured) -> Budgets:
    """Rows of the sessions with a budget, by budget; all labels are those of the main run."""
    curve: dict[LabelBudget, list[ResultRow]] = {}
    for label_s in sorted(measured.bench.recipe.benchmark.label_s):
        found = measured.select("labels", f"{label_s:g} s")
        curve[label_s] = [row for row in found if row.label_s == label_s]
    targets = target_sessions(measured.bench)
    curve["all"] = [row for row in measured.select("main") if row.session in targets]
    return {label_s: found for label_s, found in curve.items() if found}


def gain_table(curve: Budgets) -> ResultTable:
    """What distillation adds at each budget, on the same sessions."""
    lines = []
    for label_s, found in curve.items():
        if {"student", "scratch"} <= {row.method for row in found}:
            gain = paired_interval(found, "student", "scratch", label_s=label_s)
            pairs = f"{gain.sessions} × {gain.seeds}"
            difference = number(gain.mean, sign=True)
            lines.append((labels_text(label_s), difference, interval(gain.low, gain.high), pairs))
    columns = ("Labels", "student − scratch", "95% interval", "Sessions × seeds")
    return ResultTable("What distillation is worth", columns, tuple(lines))


def draw(curve: Budgets, path: Path) -> None:
    """Left: R² of the sessions with few labels. Right: student minus scratch."""
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


ABOUT = (
    "the last session of every subject has few labels, all other sessions have theirs; everything "
    "is trained again for each budget, the teacher too. Validation labels, which decide when to "
    "stop, are not counted"
)
PART = Part("Few labels on the last day", ABOUT, run, impossible, show=show)
