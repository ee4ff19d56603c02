from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import row
from scipy.stats import ttest_1samp

from realm.evaluation.comparison import paired_interval


def two_methods(differences, base=0.5):
    """Rows of methods a and b whose R² differ by `differences` (session, seed)."""
    rows = []
    for s, per_seed in enumerate(differences):
        for k, difference in enumerate(per_seed):
            score = base + 0.1 * s + 0.01 * k
            rows.append(row("a", f"day{s}", k, r2=score + difference))
            rows.append(row("b", f"day{s}", k, r2=score))
    return rows


def test_one_seed_is_the_paired_t_interval_over_sessions():
    differences = np.random.default_rng(0).normal(0.1, 0.05, size=(6, 1))
    result = paired_interval(two_methods(differences), "a", "b")
    expected = ttest_1samp(differences[:, 0], 0).confidence_interval()
    assert result.mean == pytest.approx(differences.mean())
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert (result.sessions, result.seeds) == (6, 1)


@pytest.mark.parametrize(("session_sd", "seed_sd"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_it_covers_the_truth_whatever_varies(session_sd, seed_sd):
    rng, hits, trials = np.random.default_rng(1), 0, 300
    for _ in range(trials):
        table = session_sd * rng.normal(size=(5, 1)) + seed_sd * rng.normal(size=(1, 3))
        result = paired_interval(two_methods(table + 0.3 * rng.normal(size=(5, 3))), "a", "b")
        hits += result.low <= 0.0 <= result.high
    assert 0.90 < hits / trials <= 0.995


def test_more_seeds_do_not_stand_in_for_sessions():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(4, 1)) + 0.01 * rng.normal(size=(4, 50))
    many = paired_interval(two_methods(table), "a", "b")
    few = paired_interval(two_methods(table[:, :1]), "a", "b")
    assert many.high - many.low > 0.9 * (few.high - few.low)


def test_a_method_without_seeds_meets_every_seed_of_the_other():
    rows = [row("ridge", "day0", 0, r2=0.4), row("ridge", "day1", 0, r2=0.5)]
    rows += [
        row("gru", f"day{s}", k, r2=0.6 + 0.1 * s + 0.01 * k) for s in (0, 1) for k in range(3)
    ]
    result = paired_interval(rows, "gru", "ridge")
    assert (result.sessions, result.seeds) == (2, 3)
    assert result.mean == pytest.approx(0.21)
    assert paired_interval(rows, "ridge", "gru").mean == pytest.approx(-0.21)


def test_undefined_and_missing_pairs_are_left_out():
    rows = two_methods(np.full((3, 2), 0.1))
    rows = [r for r in rows if not (r.session == "day1" and r.seed == 1 and r.method == "a")]
    rows += [row("a", "still", k, r2=math.nan) for k in range(2)]
    rows += [row("b", "still", k, r2=math.nan) for k in range(2)]
    result = paired_interval(rows, "a", "b")
    assert (result.sessions, result.seeds) == (3, 1)
    assert result.mean == pytest.approx(0.1)


def test_a_single_pair_has_a_mean_and_no_interval():
    result = paired_interval(two_methods([[0.1]]), "a", "b")
    assert result.mean == pytest.approx(0.1)
    assert math.isnan(result.low)
    still = [row("a", r2=math.nan), row("b", r2=math.nan)]
    assert math.isnan(paired_interval(still, "a", "b").mean)


def test_splits_and_budgets_are_kept_apart():
    rows = two_methods([[0.1], [0.2]])
    rows += [row("a", f"day{s}", 0, "validation", r2=0.9) for s in (0, 1)]
    rows += [row("a", f"day{s}", 0, label_s=30.0, r2=0.1) for s in (0, 1)]
    assert paired_interval(rows, "a", "b").mean == pytest.approx(0.15)
    with pytest.raises(ValueError, match=r"'b' on validation.*a \(validation, label_s all\)"):
        paired_interval(rows, "a", "b", split="validation")
