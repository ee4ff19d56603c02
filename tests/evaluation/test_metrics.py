from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score as sklearn_r2

from realm.evaluation.metrics import (
    block_bootstrap,
    mean_defined,
    mean_r2,
    pearson_r,
    r2_score,
    score_decoding,
)


def series(rng, n=600, dims=2, noise=0.5):
    y = rng.normal(size=(n, dims)).cumsum(axis=0) * 0.1 + 3.0
    return y, y + noise * rng.normal(size=y.shape), rng.random(n) > 0.2


@given(seed=st.integers(0, 10_000), offset=st.floats(-1e3, 1e3))
@settings(max_examples=30, deadline=None)
def test_r2_agrees_with_scikit_learn(seed, offset):
    y, pred, mask = series(np.random.default_rng(seed))
    y, pred = y + offset, pred + offset
    expected = sklearn_r2(y[mask], pred[mask], multioutput="raw_values")
    np.testing.assert_allclose(r2_score(y, pred, mask), expected, rtol=1e-9)


def test_pearson_agrees_with_numpy_and_ignores_gain_and_offset():
    y, pred, mask = series(np.random.default_rng(0))
    expected = [np.corrcoef(y[mask, d], pred[mask, d])[0, 1] for d in range(2)]
    np.testing.assert_allclose(pearson_r(y, pred, mask), expected)
    np.testing.assert_allclose(pearson_r(y, 5 - 3 * pred, mask), np.negative(expected))


def test_what_is_under_the_mask_is_never_looked_at():
    y, pred, mask = series(np.random.default_rng(1))
    before = score_decoding(y, pred, mask, bin_ms=20.0)
    y[~mask], pred[~mask] = np.nan, np.inf
    assert score_decoding(y, pred, mask, bin_ms=20.0) == before


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
def test_constant_behavior_is_undefined_not_zero(value):
    y, pred, mask = series(np.random.default_rng(2))
    y[:, 1] = value
    assert np.isnan(r2_score(y, pred, mask)).tolist() == [False, True]
    assert np.isnan(pearson_r(y, pred, mask)).tolist() == [False, True]
    assert mean_r2(y, pred, mask) == r2_score(y, pred, mask)[0]
    y[:, 0] = value
    assert np.isnan(score_decoding(y, pred, mask, bin_ms=20.0)).all()


def test_no_known_bin_is_undefined():
    y, pred, mask = series(np.random.default_rng(3))
    assert np.isnan(score_decoding(y, pred, np.zeros_like(mask), bin_ms=20.0)).all()
    assert np.isnan(r2_score(y[:0], pred[:0], mask[:0])).all()
    assert np.isnan(mean_defined([np.nan, np.nan]))


def test_a_constant_decoding_has_no_correlation_but_an_r2():
    y, _, mask = series(np.random.default_rng(4))
    constant = np.ones_like(y)
    assert np.isnan(pearson_r(y, constant, mask)).all()
    assert (r2_score(y, constant, mask) <= 0).all()


def test_errors_say_what_arrived():
    y, pred, mask = series(np.random.default_rng(5))
    with pytest.raises(ValueError, match=r"\(600, 2\), \(599, 2\)"):
        r2_score(y, pred[1:], mask)
    with pytest.raises(ValueError, match="boolean mask"):
        r2_score(y, pred, mask.astype(float))
    pred[np.flatnonzero(mask)[:3]] = np.nan
    with pytest.raises(ValueError, match=r"3 of .* diverged"):
        r2_score(y, pred, mask)
    with pytest.raises(ValueError, match="at least one bin"):
        block_bootstrap(y, y, mask, bin_ms=20.0, block_s=0.001)


def test_bootstrap_resamples_are_those_of_whole_blocks():
    """The sums per block give the same R² as gathering the drawn blocks bin by bin."""
    y, pred, mask = series(np.random.default_rng(6), n=1030)  # 1030 bins: a short last block
    low, high = block_bootstrap(y, pred, mask, bin_ms=50.0, n=300, seed=7)
    blocks = [np.arange(s, min(s + 100, 1030)) for s in range(0, 1030, 100)]
    draws = np.random.default_rng(7).multinomial(11, np.full(11, 1 / 11), size=300)
    scores = []
    for times in draws:
        index = np.concatenate([blocks[b] for b in np.repeat(np.arange(11), times)])
        scores.append(mean_r2(y[index], pred[index], mask[index]))
    np.testing.assert_allclose([low, high], np.quantile(scores, [0.025, 0.975]), rtol=1e-9)


def test_bootstrap_covers_the_true_r2_of_correlated_series():
    rng, hits, trials = np.random.default_rng(8), 0, 150
    kernel = np.ones(40) / np.sqrt(40)
    for _ in range(trials):
        smooth = [np.convolve(rng.normal(size=8039), kernel, "valid") for _ in range(2)]
        y, error = smooth[0][:, None], 0.6 * smooth[1][:, None]
        low, high = block_bootstrap(y, y + error, np.ones(len(y), bool), bin_ms=20.0, n=300)
        hits += low <= 1 - 0.36 <= high
    assert hits / trials > 0.87  # few blocks: a percentile interval is a little too narrow


def test_bootstrap_is_undefined_with_fewer_than_two_blocks():
    y, pred, mask = series(np.random.default_rng(9), n=200)
    assert np.isnan(block_bootstrap(y, pred, mask, bin_ms=20.0)).all()
