"""Whether one method beats another: paired differences over sessions and seeds.

Two methods are compared on the same session with the same seed, never as two separate means:
sessions differ far more than methods do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from realm.evaluation.results import LabelBudget, ResultRow, Split


class PairedInterval(NamedTuple):
    """Mean R² difference (first method minus second) with its confidence interval.

    NaN limits: one session and one seed (or undefined scores only) give no interval.
    """

    mean: float
    low: float
    high: float
    sessions: int
    seeds: int


def paired_interval(
    rows: Sequence[ResultRow],
    method_a: str,
    method_b: str,
    *,
    split: Split = "test",
    label_s: LabelBudget = "all",
    confidence: float = 0.95,
) -> PairedInterval:
    """Mean of R²(a) - R²(b) over sessions x seeds, with a t interval.

    Sessions and seeds are both taken as drawn at random: the variance of the mean adds what varies
    between sessions to what varies between seeds (two-way random effects, degrees of freedom after
    Satterthwaite), so that more seeds do not stand in for sessions. A method without seeds (one
    row per session) is compared with every seed of the other. Pairs with an undefined score are
    left out; a seed counts only if it is there for every session that is compared.

    Raises:
        ValueError: a method has no rows for this split and label budget.
    """
    scores_a = _scores(rows, method_a, split, label_s)
    scores_b = _scores(rows, method_b, split, label_s)
    table = _complete_table(_differences(scores_a, scores_b))  # (session, seed)
    sessions, seeds = table.shape
    if not table.size:
        return PairedInterval(np.nan, np.nan, np.nan, 0, 0)
    mean = float(table.mean())
    half = _half_width(table, confidence)
    return PairedInterval(mean, mean - half, mean + half, sessions, seeds)


Scores = dict[str, dict[int, float]]  # session -> seed -> R²


def _scores(rows: Sequence[ResultRow], method: str, split: Split, label_s: LabelBudget) -> Scores:
    scores: Scores = {}
    for row in rows:
        if (row.method, row.split, row.label_s) == (method, split, label_s):
            scores.setdefault(row.session, {})[row.seed] = row.r2
    if not scores:
        found = sorted({f"{row.method} ({row.split}, label_s {row.label_s})" for row in rows})
        raise ValueError(
            f"expected rows of {method!r} on {split} with label_s {label_s}, found "
            f"{', '.join(found) or 'no rows'}; choose among these"
        )
    return scores


def _differences(scores_a: Scores, scores_b: Scores) -> Scores:
    differences: Scores = {}
    seedless_a, seedless_b = _has_one_seed(scores_a), _has_one_seed(scores_b)
    for session in (s for s in scores_a if s in scores_b):
        a, b = scores_a[session], scores_b[session]
        if seedless_b:
            b = dict.fromkeys(a, next(iter(b.values())))
        elif seedless_a:
            a = dict.fromkeys(b, next(iter(a.values())))
        pairs = {seed: a[seed] - b[seed] for seed in a.keys() & b.keys()}
        defined = {seed: value for seed, value in pairs.items() if np.isfinite(value)}
        if defined:
            differences[session] = defined
    return differences


def _has_one_seed(scores: Scores) -> bool:
    return len({seed for by_seed in scores.values() for seed in by_seed}) == 1


def _complete_table(differences: Scores) -> NDArray[np.float64]:
    if not differences:
        return np.zeros((0, 0))
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in differences.values())))
    return np.array([[by_seed[seed] for seed in seeds] for by_seed in differences.values()])


def _half_width(table: NDArray[np.float64], confidence: float) -> float:
    """Half of the t interval of the table's mean, both factors random; NaN for a single cell."""
    sessions, seeds = table.shape
    if sessions < 2 and seeds < 2:
        return float("nan")
    between_sessions = _mean_square(table.mean(axis=1)) * seeds
    between_seeds = _mean_square(table.mean(axis=0)) * sessions
    squares = [(between_sessions, sessions - 1), (between_seeds, seeds - 1)]
    squares = [(square, freedom) for square, freedom in squares if freedom > 0]
    total = sum(square for square, _ in squares)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(square**2 / freedom for square, freedom in squares)
    variance = total - (_residual(table) if len(squares) == 2 else 0.0)
    variance = max(variance, *(square for square, _ in squares)) / table.size
    return float(student_t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance))


def _mean_square(means: NDArray[np.float64]) -> float:
    return float(means.var(ddof=1)) if len(means) > 1 else 0.0


def _residual(table: NDArray[np.float64]) -> float:
    """Mean square of what neither the session nor the seed explains."""
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    sessions, seeds = table.shape
    return float((rest**2).sum() / ((sessions - 1) * (seeds - 1)))
