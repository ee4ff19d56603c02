from __future__ import annotations

import time

import numpy as np
import pytest
from contract import check_causal_part
from sklearn.linear_model import Ridge

from realm.evaluation.metrics import mean_r2
from realm.methods.lags import Lags, normal_equations
from realm.methods.ridge import LinearProbe, RidgeDecoder

TRAIN, VALID, TEST = (0, 2000), (2050, 2450), (2500, 3000)


def recording(rng, n=3000, channels=3, bands=2, dims=2, lag=7, noise=0.5):
    """Behavior is a lagged mixture of the features."""
    features = rng.normal(size=(n, channels, bands)).astype(np.float32)
    mixing = rng.normal(size=(channels * bands, dims))
    driven = features.reshape(n, -1) @ mixing
    y = np.concatenate([np.zeros((lag, dims)), driven[:-lag]]) + noise * rng.normal(size=(n, dims))
    return features, y + 2.0, rng.random(n) > 0.1


def fitted(rng, **options):
    features, y, mask = recording(rng)
    decoder = RidgeDecoder(bin_ms=20.0, **options).fit(features, y, mask, train=TRAIN, valid=VALID)
    return decoder, features, y, mask


def plain_design(features, taps, stride):
    """The lagged means written out bin by bin."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    padded = np.concatenate([np.zeros((taps * stride, flat.shape[1])), flat])
    rows = []
    for k in range(len(flat)):
        end = k + taps * stride + 1
        boxes = [
            padded[end - (j + 1) * stride : end - j * stride].mean(axis=0) for j in range(taps)
        ]
        rows.append(np.concatenate(boxes))
    return np.array(rows)


@pytest.mark.parametrize(("lag_bins", "max_columns"), [(25, 2000), (25, 60), (7, 3), (1, 2000)])
def test_lags_are_the_means_they_say(lag_bins, max_columns):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 3, 2))
    lags = Lags.spread(lag_bins, 6, max_columns)
    assert lags.taps * lags.stride >= lag_bins
    assert lags.columns <= max(max_columns, 6)
    flat = features.reshape(120, 6)
    found = np.concatenate([design for _, design in lags.blocks(flat, 0, 120)])
    np.testing.assert_allclose(found, plain_design(features, lags.taps, lags.stride), atol=1e-12)


def test_the_issue_size_stays_below_two_thousand_columns():
    lags = Lags.spread(50, 32 * 4, 2000)
    assert (lags.taps, lags.stride, lags.columns) == (13, 4, 1664)


@pytest.mark.parametrize("max_columns", [2000, 40])
def test_the_weights_are_those_of_scikit_learn(max_columns):
    rng = np.random.default_rng(1)
    decoder, features, y, mask = fitted(rng, max_columns=max_columns)
    lags = decoder._lags
    design = plain_design(features, lags.taps, lags.stride)
    x = design[: TRAIN[1]][mask[: TRAIN[1]]]
    alpha = decoder.penalty * len(x) * x.var(axis=0).mean()
    expected = Ridge(alpha=alpha).fit(x, y[: TRAIN[1]][mask[: TRAIN[1]]])
    np.testing.assert_allclose(decoder.weights, expected.coef_.T, atol=1e-8)
    np.testing.assert_allclose(decoder.intercept, expected.intercept_, atol=1e-8)
    np.testing.assert_allclose(decoder.predict(features), expected.predict(design), atol=1e-8)


@pytest.mark.parametrize("gaps", [[], [(0, 7)], [(40, 41), (200, 260), (390, 400)]])
@pytest.mark.parametrize(("train", "max_columns"), [((0, 400), 40), ((30, 390), 2000)])
def test_shifted_sums_are_those_of_all_products(gaps, train, max_columns):
    rng = np.random.default_rng(7)
    features, behavior, known = recording(rng)
    known[:] = True
    for gap in gaps:
        known[slice(*gap)] = False
    lags = Lags.spread(25, 6, max_columns)
    flat = features.reshape(len(features), 6)
    found = normal_equations(lags, flat, behavior, known, train)
    rows = np.arange(*train)[known[slice(*train)]]
    x, y = plain_design(features, lags.taps, lags.stride)[rows], behavior[rows]
    x, y = x - x.mean(0), y - y.mean(0)
    assert found.bins == len(rows)
    np.testing.assert_allclose(found.gram, x.T @ x, atol=1e-9)
    np.testing.assert_allclose(found.cross, x.T @ y, atol=1e-9)


def test_it_decodes_a_lagged_mixture():
    decoder, features, y, mask = fitted(np.random.default_rng(2))
    test = slice(*TEST)
    assert mean_r2(y[test], decoder.predict(features)[test], mask[test]) > 0.9
    assert decoder.parameters == 25 * 6 * 2 + 2
    assert decoder.lookahead_ms == 0.0


def test_the_penalty_is_the_best_on_validation_and_ignores_test():
    rng = np.random.default_rng(3)
    features, y, mask = recording(rng, noise=30.0)
    decoder = RidgeDecoder(20.0).fit(features, y, mask, train=(0, 400), valid=VALID)
    assert decoder.penalty == decoder.penalties[np.argmax(decoder.validation_r2)]
    assert decoder.penalty > decoder.penalties[0]
    y[slice(*TEST)] = 1e6
    again = RidgeDecoder(20.0).fit(features, y, mask, train=(0, 400), valid=VALID)
    np.testing.assert_array_equal(again.weights, decoder.weights)


def test_masked_and_unlabelled_bins_are_not_used():
    features, y, mask = recording(np.random.default_rng(4))
    decoder = RidgeDecoder(20.0).fit(features, y, mask, train=TRAIN, valid=VALID)
    y[~mask] = np.nan
    again = RidgeDecoder(20.0).fit(features, y, mask, train=TRAIN, valid=VALID)
    np.testing.assert_array_equal(again.weights, decoder.weights)


@pytest.mark.parametrize("max_columns", [2000, 40])
def test_the_causal_contract(max_columns):
    rng = np.random.default_rng(5)
    decoder, features, _, _ = fitted(rng, max_columns=max_columns)
    x = features[:300].astype(np.float64)
    check_causal_part(decoder.step, decoder.initial_state, x, rng=rng, rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(decoder.predict(x), decoder.step(x, decoder.initial_state())[0])


def test_a_long_stream_crosses_blocks_without_a_seam():
    rng = np.random.default_rng(6)
    decoder, _, _, _ = fitted(rng)
    x = rng.normal(size=(9000, 3, 2))
    whole, state = decoder.predict(x), decoder.initial_state()
    parts = []
    for start in range(0, 9000, 1777):
        part, state = decoder.step(x[start : start + 1777], state)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-10)


def test_constant_behavior_is_fitted_and_left_undefined():
    features, y, mask = recording(np.random.default_rng(7))
    y[:] = 4.0
    decoder = RidgeDecoder(20.0).fit(features, y, mask, train=TRAIN, valid=VALID)
    assert np.isnan(decoder.validation_r2).all()
    np.testing.assert_allclose(decoder.predict(features), 4.0)


def test_dead_channels_and_constant_features_do_no_harm():
    features, y, mask = recording(np.random.default_rng(8))
    features[:, 1] = 0.0
    decoder = RidgeDecoder(20.0).fit(features, y, mask, train=TRAIN, valid=VALID)
    assert np.isfinite(decoder.weights).all()
    still = RidgeDecoder(20.0).fit(np.zeros_like(features), y, mask, train=TRAIN, valid=VALID)
    assert np.isfinite(still.predict(features)).all()


def test_the_probe_reads_single_latents():
    rng = np.random.default_rng(9)
    latents = rng.normal(size=(3000, 12)) * 1e-3
    y = latents @ rng.normal(size=(12, 2)) * 1e3 + 0.1 * rng.normal(size=(3000, 2))
    mask = np.ones(3000, bool)
    probe = LinearProbe().fit(latents, y, mask, train=TRAIN, valid=VALID)
    test = slice(*TEST)
    assert mean_r2(y[test], probe.predict(latents)[test], mask[test]) > 0.95
    assert probe.parameters == 12 * 2 + 2
    np.testing.assert_allclose(probe.predict(latents[50:60]), probe.predict(latents)[50:60])


def test_errors_say_what_to_do():
    features, y, mask = recording(np.random.default_rng(10))
    decoder = RidgeDecoder(20.0)
    with pytest.raises(ValueError, match="call fit first"):
        decoder.predict(features)
    with pytest.raises(ValueError, match="one length"):
        decoder.fit(features[1:], y, mask, train=TRAIN, valid=VALID)
    with pytest.raises(ValueError, match="every bin is masked"):
        decoder.fit(features, y, np.zeros_like(mask), train=TRAIN, valid=VALID)
    decoder.fit(features, y, mask, train=TRAIN, valid=VALID)
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 2\)"):
        decoder.predict(features[:, :2])
    features[5, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite features"):
        decoder.fit(features, y, mask, train=TRAIN, valid=VALID)


def test_many_channels_are_fitted_in_seconds():
    rng = np.random.default_rng(11)
    features = rng.normal(size=(11_000, 32, 4)).astype(np.float32)
    y, mask = features[:, :2, 0].astype(np.float64), np.ones(11_000, bool)
    start = time.process_time()
    RidgeDecoder(10.0).fit(features, y, mask, train=(0, 8_400), valid=(8_600, 9_600))
    assert time.process_time() - start < 20.0  # about 2 s on one core
