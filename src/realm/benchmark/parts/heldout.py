"""New sessions from seconds of labels: what networks that learned without labels are worth there.

The work of one seed is `realm.benchmark.held_out`; here are its tables and its figure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.curves import Budgets, budget_table, draw_curve, name_ends, point
from realm.benchmark.held_out import (
    NAMES,
    ON_ITS_OWN,
    SIGNAL_SEEN,
    UNSEEN,
    held_out_seed,
    splits_of,
)
from realm.benchmark.held_out import (
    PART as NAME,
)
from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, Part, select
from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import COLUMNS, LabelBudget, ResultRow, row_to_cells
from realm.files import write_text
from realm.methods.registry import methods_of
from realm.report.section import Picture, Section
from realm.report.style import figure_file, quiet_grid
from realm.report.tables import ResultTable, interval, labels_text, number
from realm.stages import each_seed

FROZEN = "student_frozen"
TUNED = ("student_tuned", "student_joint")
BESIDE_FROZEN = ("ridge", "untrained", "causal_mae", "published_student")
DRAWN = ("ridge", "gru", "scratch", "causal_mae", "published_student", FROZEN, *TUNED)
TITLES = {
    UNSEEN: "the networks never saw these sessions",
    SIGNAL_SEEN: "the networks saw their signal, without labels",
}


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """All seeds, and `heldout/results.csv`."""
    recipe, out = benchmark.recipe, benchmark.out / NAME
    splits = [
        split
        for split in splits_of(benchmark.by_subject, recipe.benchmark.held_out_sessions)
        if split.variant in recipe.benchmark.held_out_variants
    ]
    task = partial(held_out_seed, recipe, benchmark.prepared, splits, out)
    seeds = each_seed(task, recipe.seeds, benchmark.jobs, benchmark.progress)
    rows = [row for seed in recipe.seeds for row in seeds[seed]]
    write_held_out(rows, out / "results.csv")
    return rows


def impossible(benchmark: Benchmark) -> str | None:
    """It takes behavior, and a variant that the recordings allow."""
    settings = benchmark.recipe.benchmark
    unknown = set(settings.held_out_methods) - set(NAMES)
    if unknown:
        raise ValueError(
            f"benchmark.held_out_methods: expected names out of {', '.join(NAMES)}; got "
            f"{', '.join(sorted(unknown))}; correct them"
        )
    if not benchmark.sessions[0].behavior_names:
        return "these recordings have no behavior"
    allowed = {s.variant for s in splits_of(benchmark.by_subject, settings.held_out_sessions)}
    if not allowed & set(settings.held_out_variants):
        return "every subject has a single session, so every network saw its signal"
    return None


def write_held_out(rows: Sequence[BenchmarkRow], path: Path) -> None:
    """The rows as CSV: the columns of every run, then the variant and the seconds of labels."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, "variant", "labels_s"))
    for found in rows:
        cells = row_to_cells(found.row)
        writer.writerow([*cells, found.variant, cells[COLUMNS.index("label_s")]])
    write_text(path, text.getvalue())


def show(measured: Measured) -> list[Section]:
    """R² by seconds of labels, the differences that count, the costs, the control."""
    variants = [v for v in TITLES if measured.select(NAME, v)]
    curves = {variant: label_curve(measured.select(NAME, variant)) for variant in variants}
    path = measured.figure("heldout")
    draw(curves, path)
    text = (
        "New sessions: teacher and student learned without labels, then every method gets the "
        "first seconds of labels of the new session and chooses everything inside them."
    )
    tables = accuracy_tables(measured.rows)
    tables += [difference_table(curves[v], f"Differences; {TITLES[v]}") for v in variants]
    tables += [cost_table(curves[v], f"Costs; {TITLES[v]}") for v in variants]
    tables.append(control_table(curves))
    picture = Picture(path, "New sessions: R² by seconds of labels")
    return [Section(PART.title, (text,), (picture,), tuple(t for t in tables if t.rows))]


def accuracy_tables(rows: Sequence[BenchmarkRow]) -> list[ResultTable]:
    """R² by seconds of labels, one table for each variant that was measured."""
    found = {variant: select(rows, NAME, variant) for variant in TITLES}
    return [
        budget_table(f"R² on new sessions; {TITLES[variant]}", label_curve(own))
        for variant, own in found.items()
        if own
    ]


def label_curve(rows: Sequence[ResultRow]) -> Budgets:
    """Rows by label budget, the smallest first."""
    budgets = {row.label_s for row in rows}
    order = sorted(budgets, key=lambda b: float("inf") if b == "all" else float(b))
    return {budget: [row for row in rows if row.label_s == budget] for budget in order}


def difference_table(curve: Budgets, title: str) -> ResultTable:
    """Paired over sessions and seeds: the frozen student, then the trained ones."""
    lines = []
    for budget, rows in curve.items():
        methods = {row.method for row in rows}
        pairs = [(FROZEN, other) for other in BESIDE_FROZEN]
        pairs += [(ours, other) for ours in TUNED for other in ("ridge", *ON_ITS_OWN)]
        for ours, other in pairs:
            if {ours, other} <= methods:
                gain = paired_interval(rows, ours, other, label_s=budget)
                found = number(gain.mean, sign=True), interval(gain.low, gain.high)
                lines.append((f"{ours} − {other}", labels_text(budget), *found))
    return ResultTable(title, ("Pair", "Labels", "R²", "95% interval"), tuple(lines), 2)


def cost_table(curve: Budgets, title: str) -> ResultTable:
    """What training on the new session's labels takes, by method and budget, in CPU seconds."""
    methods = methods_of([row for rows in curve.values() for row in rows])
    lines = []
    for method in methods:
        own = [[row for row in rows if row.method == method] for rows in curve.values()]
        took = [number(mean_defined([row.train_cpu_s for row in rows]), digits=2) for rows in own]
        some = [row for rows in own for row in rows]
        lines.append(
            (
                method,
                number(mean_defined([float(row.parameters) for row in some]), digits=0),
                number(mean_defined([row.us_per_bin for row in some]), digits=0),
                *took,
            )
        )
    budgets = (f"CPU s, {labels_text(budget)}" for budget in curve)
    return ResultTable(title, ("Method", "Parameters", "µs per bin", *budgets), tuple(lines))


def control_table(curves: dict[str, Budgets]) -> ResultTable:
    """R² with shifted behavior: near 0 where nothing leaks."""
    lines, budgets = [], list(next(iter(curves.values()), {}))
    for variant, curve in curves.items():
        for method in methods_of([row for rows in curve.values() for row in rows]):
            shifted = [
                number(mean_defined([r.r2_shifted for r in curve[b] if r.method == method]))
                for b in budgets
            ]
            lines.append((variant, method, *shifted))
    columns = ("Variant", "Method", *(labels_text(budget) for budget in budgets))
    return ResultTable("R² with shifted behavior", columns, tuple(lines), text_columns=2)


def draw(curves: dict[str, Budgets], path: Path) -> None:
    """One panel per variant, one line per method, seconds of labels on a log scale."""
    with figure_file(path, 1.2 + 4.9 * len(curves), 4.4) as fig:
        panels = fig.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for ax, (variant, curve) in zip(panels, curves.items(), strict=True):
            _draw_variant(ax, curve)
            ax.set_title(TITLES[variant], fontsize=10)
            ax.set_xlabel("seconds of labels of the new session")
            quiet_grid(ax)
        panels[0].set_ylabel("R² on test time")


def _draw_variant(ax: Axes, curve: Budgets) -> None:
    places = {budget: k for k, budget in enumerate(curve)}
    found = methods_of([row for rows in curve.values() for row in rows])
    ends = []
    for method in (m for m in found if m in DRAWN):
        points = [(places[b], point(rows, method)) for b, rows in curve.items()]
        points = [(place, at) for place, at in points if at.mean == at.mean]
        draw_curve(ax, [place for place, _ in points], [at for _, at in points], method)
        ends.append((method, points[-1][1].mean))
    ax.set_xticks(range(len(curve)), [_tick(budget) for budget in curve])
    ax.set_ylim(bottom=max(-0.1, ax.get_ylim()[0]))
    ax.set_xlim(-0.2, len(curve) - 0.8)
    name_ends(ax, ends)


def _tick(budget: LabelBudget) -> str:
    return "all" if budget == "all" else f"{budget:g}"


ABOUT = (
    "the last sessions of every subject are new: teacher and student are trained on the others "
    "without labels (or on the signal of all), then every method gets the first seconds of labels "
    "of a new session and nothing else of its behavior"
)
PART = Part("New sessions from seconds of labels", ABOUT, run, impossible, show=show)
