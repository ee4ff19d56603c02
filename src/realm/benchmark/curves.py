"""Means of R² as figures and tables show them: over sessions and seeds, with their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from realm.benchmark.carry import NO_LABELS, OWN_LABELS
from realm.benchmark.labels import target_sessions
from realm.benchmark.part import Benchmark
from realm.benchmark.rows import BenchmarkRow, select
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow


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


def label_curve(
    bench: Benchmark, rows: Sequence[BenchmarkRow]
) -> dict[LabelBudget, list[ResultRow]]:
    """Rows of the sessions with a budget, by budget; all labels are those of the main run."""
    curve: dict[LabelBudget, list[ResultRow]] = {}
    for label_s in sorted(bench.recipe.benchmark.label_s):
        found = select(rows, "labels", f"{label_s:g} s")
        curve[label_s] = [row for row in found if row.label_s == label_s]
    targets = target_sessions(bench)
    curve["all"] = [row for row in select(rows, "main") if row.session in targets]
    return {label_s: found for label_s, found in curve.items() if found}


def calibration_curve(
    bench: Benchmark, rows: Sequence[BenchmarkRow], variant: str
) -> dict[LabelBudget, list[ResultRow]]:
    """Rows of the new sessions by labelled seconds, 0 first, for one way of calibrating."""
    carried = select(rows, "transfer", NO_LABELS)
    carried += select(rows, "transfer", variant) + select(rows, "transfer", OWN_LABELS)
    budgets: list[LabelBudget] = [0.0, *sorted(bench.recipe.benchmark.label_s), "all"]
    return {label_s: [row for row in carried if row.label_s == label_s] for label_s in budgets}


def lookahead_curve(rows: Sequence[BenchmarkRow]) -> dict[float, list[ResultRow]]:
    """Rows of the student by lookahead in ms; 0 is the main run's."""
    found = [*select(rows, "main"), *select(rows, "lookahead")]
    student = [row for row in found if row.method == "student"]
    waits = sorted({row.lookahead_ms for row in student})
    return {wait: [row for row in student if row.lookahead_ms == wait] for wait in waits}


def latency_ms(bench: Benchmark) -> float:
    """From a sample to the output that has heard it, without lookahead, on average over sessions.

    The signal chain's filters and smoothing, and a whole bin: a sample at its begin waits as long.
    """
    chains = [session.chain for session in bench.sessions]
    mean = float(np.mean([chain.latency_ms for chain in chains]))
    return mean + chains[0].bin_ms / 2  # the chain counts half a bin
