"""Decoders on later days: how they drift, and what calibration repairs.

Decoders are trained on the first sessions of every subject that has enough of them, and on all
sessions of the other subjects. The later sessions are decoded without calibration, and after
calibration with few, more, or all of their labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from matplotlib.axes import Axes

from realm.benchmark.curves import Budgets, budget_table, draw_budgets, draw_curve, name_ends, point
from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, Part, of_part, with_methods
from realm.benchmark.parts.carry import (
    METHODS,
    MODES,
    NO_LABELS,
    OWN_LABELS,
    carry_over_seed,
    variant_of,
)
from realm.evaluation.results import LabelBudget, ResultRow
from realm.report.section import Picture, Section
from realm.report.style import MUTED, figure_file, quiet_grid
from realm.report.tables import ResultTable, number
from realm.runs.run import run_prepared
from realm.stages import each_seed

FEWEST_SESSIONS = 3  # of a subject
TRAINED = "trained"  # variant of the sessions that the decoders were trained on
DRIFT_METHODS = ("gru", "scratch", "student")
LINES = {"solid": "-", "dotted": ":", "dashed": "--"}  # of the figure of drift


def new_sessions(benchmark: Benchmark) -> list[str]:
    """The sessions that are kept out of the training, subject by subject, in order of time."""
    share = benchmark.recipe.benchmark.training_share
    return [
        session
        for sessions in benchmark.by_subject.values()
        if len(sessions) >= FEWEST_SESSIONS
        for session in sessions[math.ceil(len(sessions) * share - 1e-9) :]
    ]


def impossible(benchmark: Benchmark) -> str | None:
    """It takes a subject with sessions to train on and one to come."""
    if new_sessions(benchmark):
        return None
    most = max(len(sessions) for sessions in benchmark.by_subject.values())
    if most < FEWEST_SESSIONS:
        return f"no subject has {FEWEST_SESSIONS} sessions or more"
    return "benchmark.training_share leaves no later session to decode"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """A run folder of the earlier sessions, then the later ones with its decoders."""
    out, new = benchmark.out / "transfer", new_sessions(benchmark)
    every = chain.from_iterable(benchmark.by_subject.values())
    training = benchmark.prepared_of([session for session in every if session not in new])
    recipe = with_methods(benchmark.recipe, ["ridge", *METHODS])
    rows = run_prepared(recipe, training, out, jobs=benchmark.jobs, progress=benchmark.progress)
    task = partial(carry_over_seed, recipe, training, benchmark.prepared_of(new), out)
    carried = each_seed(task, recipe.seeds, benchmark.jobs, benchmark.progress)
    return of_part("transfer", TRAINED, rows) + [row for rows in carried.values() for row in rows]


def show(measured: Measured) -> list[Section]:
    """Calibration of the new sessions; drift by session."""
    return [_calibration(measured), _drift(measured)]


def _calibration(measured: Measured) -> Section:
    curves = {variant_of(m): calibration_curve(measured, variant_of(m)) for m in MODES}
    path = measured.figure("calibration")
    draw_calibration(curves, path)
    text = (
        "Sessions on which the decoder was not trained: R² by the labelled seconds it is given. "
        "The first point is the decoder without any label."
    )
    title = "New sessions, calibrated: {} (ridge: fitted to the same labels)"
    tables = [budget_table(title.format(variant), curve) for variant, curve in curves.items()]
    picture = Picture(path, "New sessions: R² by labelled seconds")
    shown = tuple(table for table in tables if table.rows)
    return Section("Calibrating a new session", (text,), (picture,), shown)


def calibration_curve(measured: Measured, variant: str) -> Budgets:
    """Rows of the new sessions by labelled seconds, 0 first, for one way of calibrating."""
    ways = (NO_LABELS, variant, OWN_LABELS)
    carried = [row for way in ways for row in measured.select("transfer", way)]
    label_s = sorted(measured.bench.recipe.benchmark.label_s)
    budgets: list[LabelBudget] = [0.0, *label_s, "all"]
    return {budget: [row for row in carried if row.label_s == budget] for budget in budgets}


def draw_calibration(curves: dict[str, Budgets], path: Path) -> None:
    """One panel per way of calibrating; ridge, fitted to the same labels, is in all."""
    with figure_file(path, 9.4, 3.8) as fig:
        panels = fig.subplots(1, len(curves), sharey=True)
        for ax, (variant, curve) in zip(panels, curves.items(), strict=True):
            draw_budgets(ax, curve)
            ax.set_title(f"calibrated: {variant}")
            ax.set_xlabel("labels of the new session")
            quiet_grid(ax)
        panels[0].set_ylabel("R² on test time")


def _drift(measured: Measured) -> Section:
    curves, path = drift_curves(measured), measured.figure("drift")
    draw_drift(measured.bench, curves, path)
    text = (
        "Trained on the first sessions of a subject. Its later sessions (shaded) are decoded "
        "without calibration (dotted) and after a short calibration (dashed)."
    )
    picture = Picture(path, "R² by session: trained on, and new")
    return Section("Drift over days", (text,), (picture,), (drift_table(measured.bench, curves),))


Curves = Sequence[tuple[str, Sequence[ResultRow]]]  # (how it was decoded, rows)


def drift_curves(measured: Measured) -> Curves:
    """Rows of the subjects with new sessions: trained on, without labels, with the fewest."""
    subjects = measured.bench.by_subject
    enough = [s for s, sessions in subjects.items() if len(sessions) >= FEWEST_SESSIONS]
    few = min(measured.bench.recipe.benchmark.label_s, default=math.nan)
    adapted = measured.select("transfer", variant_of(MODES[0]))
    trained = [row for row in measured.select("transfer", TRAINED) if row.subject in enough]
    return [
        ("trained on it", trained),
        (NO_LABELS, measured.select("transfer", NO_LABELS)),
        (f"{few:g} s of labels, {variant_of(MODES[0])}", [r for r in adapted if r.label_s == few]),
    ]


def drift_table(bench: Benchmark, curves: Curves) -> ResultTable:
    """R² by session and how it was decoded, one column per method."""
    lines = []
    for title, found in curves:
        for session in chain.from_iterable(bench.by_subject.values()):
            own = [row for row in found if row.session == session]
            if own:
                cells = (number(point(own, method).mean) for method in DRIFT_METHODS)
                lines.append((session, title, *cells))
    columns = ("Session", "Decoder", *DRIFT_METHODS)
    return ResultTable("Drift: R² by session", columns, tuple(lines), text_columns=2)


def draw_drift(bench: Benchmark, curves: Curves, path: Path) -> None:
    """One panel per subject with new sessions; dotted: no labels, dashed: a few."""
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


def _draw_subject(ax: Axes, curves: Sequence[list[ResultRow]], sessions: Sequence[str]) -> None:
    new = [place for place, s in enumerate(sessions) if any(r.session == s for r in curves[1])]
    ax.axvspan(new[0] - 0.5, len(sessions) - 0.5, color="#F5F5F5", zorder=0)
    ends: list[tuple[str, float]] = []
    for method in DRIFT_METHODS:
        for rows, style in zip(curves, LINES.values(), strict=True):
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


ABOUT = (
    "trained without the last sessions of every subject, which are then decoded without "
    "calibration (with the map that the subject's sessions share, their mean scale of behavior, "
    "and statistics of the new session's own signal, which need no labels) and after calibration; "
    "ridge is fitted to the same labels"
)
PART = Part("New sessions", ABOUT, run, impossible, show=show)
