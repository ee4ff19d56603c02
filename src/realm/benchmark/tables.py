"""The tables of the benchmark's report, each from the rows of all parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realm.benchmark.carry import MODES, NO_LABELS, variant_of
from realm.benchmark.claims import Claim
from realm.benchmark.curves import (
    Point,
    calibration_curve,
    label_curve,
    latency_ms,
    lookahead_curve,
    point,
)
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow, select
from realm.benchmark.transfer import FEWEST_SESSIONS, TRAINED
from realm.evaluation.comparison import paired_interval
from realm.evaluation.results import LabelBudget, ResultRow
from realm.methods.registry import methods_of
from realm.report.tables import (
    ResultTable,
    accuracy_table,
    difference_table,
    labels_text,
    number,
    session_table,
)


def all_tables(bench: Benchmark, rows: Sequence[BenchmarkRow]) -> list[ResultTable]:
    """Every table for which there are rows."""
    main = select(rows, "main")
    tables = [
        accuracy_table(main),
        difference_table(main),
        session_table(main),
        lookahead_table(bench, rows),
        label_table(bench, rows),
        gain_table(bench, rows),
        *(calibration_table(bench, rows, variant_of(mode)) for mode in MODES),
        drift_table(bench, rows),
        spikes_table(rows),
    ]
    return [table for table in tables if table.rows]


def claims_table(claims: Sequence[Claim]) -> ResultTable:
    """Each claim beside its target."""
    lines = []
    for claim in claims:
        met = {True: "yes", False: "no", None: "–"}[claim.met]
        measured = "–" if math.isnan(claim.measured) else number(claim.measured)
        interval = _interval(claim.low, claim.high)
        lines.append(
            (claim.text, claim.asked_of, claim.detail, claim.target, measured, interval, met)
        )
    columns = ("Claim", "Asked of", "On", "Target", "Measured", "95% interval", "Met")
    return ResultTable("What must be seen", columns, tuple(lines), text_columns=3)


def lookahead_table(bench: Benchmark, rows: Sequence[BenchmarkRow]) -> ResultTable:
    """R² of the student by lookahead."""
    lines = []
    for wait, found in lookahead_curve(rows).items():
        total = number(latency_ms(bench) + wait, digits=0)
        lines.append((f"{wait:g}", total, *_mean_and_spread(point(found, "student"))))
    columns = ("Lookahead, ms", "Total latency, ms", "R²", "SD over seeds")
    return ResultTable("Student with lookahead", columns, tuple(lines) if len(lines) > 1 else ())


def label_table(bench: Benchmark, rows: Sequence[BenchmarkRow]) -> ResultTable:
    """R² of the sessions with few labels, one column per method."""
    title = "Few labels on the last session of each subject, all on the others"
    return _by_budget(title, label_curve(bench, rows))


def gain_table(bench: Benchmark, rows: Sequence[BenchmarkRow]) -> ResultTable:
    """What distillation is worth at each budget, on the same sessions."""
    lines = []
    for label_s, found in label_curve(bench, rows).items():
        if {"student", "scratch"} <= {row.method for row in found}:
            gain = paired_interval(found, "student", "scratch", label_s=label_s)
            pairs = f"{gain.sessions} × {gain.seeds}"
            difference = number(gain.mean, sign=True)
            interval = _interval(gain.low, gain.high)
            lines.append((labels_text(label_s), difference, interval, pairs))
    columns = ("Labels", "student − scratch", "95% interval", "Sessions × seeds")
    return ResultTable("What distillation is worth", columns, tuple(lines))


def calibration_table(bench: Benchmark, rows: Sequence[BenchmarkRow], variant: str) -> ResultTable:
    """R² of new sessions by labelled seconds, one column per method."""
    title = f"New sessions, calibrated: {variant} (ridge: fitted to the same labels)"
    return _by_budget(title, calibration_curve(bench, rows, variant))


def drift_table(bench: Benchmark, rows: Sequence[BenchmarkRow]) -> ResultTable:
    """R² by session: trained on, or new without labels and with the smallest budget."""
    lines = []
    for title, found in drift_curves(bench, rows):
        methods = methods_of(found)
        for session in [s for group in bench.by_subject.values() for s in group]:
            own = [row for row in found if row.session == session]
            cells = (number(point(own, m).mean) if own else "" for m in DRIFT_METHODS)
            if own and methods:
                lines.append((session, title, *cells))
    columns = ("Session", "Decoder", *DRIFT_METHODS)
    return ResultTable("Drift: R² by session", columns, tuple(lines), text_columns=2)


DRIFT_METHODS = ("gru", "scratch", "student")


def drift_curves(
    bench: Benchmark, rows: Sequence[BenchmarkRow]
) -> list[tuple[str, list[ResultRow]]]:
    """(what was done, rows) of the subjects with new sessions."""
    subjects = bench.by_subject
    enough = [s for s, sessions in subjects.items() if len(sessions) >= FEWEST_SESSIONS]
    few = min(bench.recipe.benchmark.label_s, default=math.nan)
    adapted = select(rows, "transfer", variant_of(MODES[0]))
    trained = [row for row in select(rows, "transfer", TRAINED) if row.subject in enough]
    return [
        ("trained on it", trained),
        (NO_LABELS, select(rows, "transfer", NO_LABELS)),
        (f"{few:g} s of labels, {variant_of(MODES[0])}", [r for r in adapted if r.label_s == few]),
    ]


def spikes_table(rows: Sequence[BenchmarkRow]) -> ResultTable:
    """R² from LFP, from spike counts, and their ratio."""
    spikes, lfp = select(rows, "spikes"), select(rows, "main")
    lines = []
    for method in methods_of(spikes):
        ours, theirs = point(lfp, method).mean, point(spikes, method).mean
        lines.append((method, number(ours), number(theirs), number(ours / theirs)))
    columns = ("Method", "R² from LFP", "R² from spike counts", "LFP / spikes")
    return ResultTable("LFP against spikes", columns, tuple(lines))


def _by_budget(title: str, curve: dict[LabelBudget, list[ResultRow]]) -> ResultTable:
    methods = methods_of([row for found in curve.values() for row in found])
    shown = [m for m in methods if sum(any(r.method == m for r in f) for f in curve.values()) > 1]
    lines = [
        (labels_text(label_s), *(_cell(found, method) for method in shown))
        for label_s, found in curve.items()
        if found
    ]
    return ResultTable(title, ("Labels", *shown), tuple(lines) if len(lines) > 1 else ())


def _cell(rows: Sequence[ResultRow], method: str) -> str:
    """Mean, and its spread over seeds."""
    if not any(row.method == method for row in rows):
        return "–"
    mean, spread = _mean_and_spread(point(rows, method))
    return mean if spread == "–" else f"{mean} ± {spread}"


def _mean_and_spread(at: Point) -> tuple[str, str]:
    return number(at.mean), "–" if math.isnan(at.spread) else number(at.spread)


def _interval(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{number(low, sign=True)} to {number(high, sign=True)}"
