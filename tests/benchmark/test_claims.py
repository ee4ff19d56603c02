"""Claims are judged by their targets, on the rows they are about, and never without rows."""

from __future__ import annotations

import math

import pytest
from evaluation.evaluation_cases import row

from realm.benchmark.claims import (
    all_claims,
    distillation_gain,
    lead_in_the_mean,
    level_with_the_best_causal,
    near_the_spikes,
    ratio_to_the_masked_transformer,
    shifted_control,
)
from realm.benchmark.part import of_part

SEEDS, DAYS = range(3), ("day0", "day1", "day2")


def rows(method, r2, sessions=DAYS, **changes):
    """A little different in every session and seed, always by the same amount."""
    return [
        row(method, session, seed, r2=r2 + 0.01 * place + 0.001 * seed, **changes)
        for place, session in enumerate(sessions)
        for seed in SEEDS
    ]


@pytest.mark.parametrize(("lead", "met"), [(0.021, True), (0.019, False)])
def test_the_lead_over_a_baseline(lead, met):
    claim = lead_in_the_mean([*rows("student", 0.5 + lead), *rows("gru", 0.5)], "gru")
    assert claim.measured == pytest.approx(lead)
    assert claim.met is met
    assert claim.target == "mean ≥ +0.020"


def test_the_best_causal_baseline_is_the_one_compared():
    main = [*rows("student", 0.5), *rows("gru", 0.505), *rows("ridge", 0.3)]
    claim = level_with_the_best_causal(main + rows("teacher_probe", 0.9))
    assert "(gru)" in claim.text
    assert claim.met is True
    assert level_with_the_best_causal([*main, *rows("lstm", 0.52)]).met is False


def test_the_gain_of_distillation_is_that_of_the_sessions_with_few_labels():
    few = {"sessions": ("day2",), "label_s": 30.0}
    others = {"sessions": ("day0", "day1")}
    found = [
        *rows("student", 0.44, **few),
        *rows("scratch", 0.40, **few),
        *rows("student", 0.90, **others),
        *rows("scratch", 0.10, **others),
    ]
    claim = distillation_gain(of_part("labels", "30 s", found), 30.0, 0.03)
    assert claim.measured == pytest.approx(0.04)
    assert claim.met is True


def test_ratios():
    main = rows("student", 0.5, parameters=50, train_cpu_s=9.0)
    main += rows("transformer_mae_probe", 0.4, parameters=100, train_cpu_s=100.0)
    assert ratio_to_the_masked_transformer(main, "parameters", 0.5, "parameters").met is True
    assert ratio_to_the_masked_transformer(main, "train_cpu_s", 0.05, "CPU").met is False


@pytest.mark.parametrize(("lfp", "met"), [(0.76, True), (0.68, False)])
def test_nine_tenths_of_the_spikes(lfp, met):
    found = of_part("main", "all labels", rows("student", lfp))
    found += of_part("spikes", "spike counts", rows("student", 0.8))
    claim = near_the_spikes(found)
    assert claim.met is met
    assert math.isfinite(claim.low)


def test_the_control_names_the_worst_method():
    main = [*rows("student", 0.5, r2_shifted=0.01), *rows("gru", 0.5, r2_shifted=-0.04)]
    claim = shifted_control(main)
    assert (claim.detail, claim.met) == ("gru", False)


def test_nothing_is_met_without_rows():
    claims = all_claims([])
    assert len(claims) == 37
    assert {claim.met for claim in claims} == {None}
    assert all("not measured" in claim.line() for claim in claims)
