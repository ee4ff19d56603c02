"""The Kalman filter: near the optimum where its model holds, causal, and fitted without leaks."""

from __future__ import annotations

import numpy as np
import pytest
from contract import check_causal_part
from scipy.linalg import solve_discrete_are

from realm.evaluation.metrics import mean_r2
from realm.methods.kalman import KalmanDecoder
from realm.methods.kalman_fit import labelled_states
from realm.methods.ridge import RidgeDecoder
from realm.methods.state_space import (
    Dynamics,
    Observation,
    fit_dynamics,
    fit_observation,
    steady_covariance,
    steady_filters,
)

BIN_MS = 20.0
TRAIN, VALID, TEST = (0, 2400), (2500, 2900), (3000, 4000)
ONE = np.ones(1)


def system(rng, n=4000, features=8, noise=3.0):
    """A linear-Gaussian system: two dims that persist, seen through noisy features."""
    transition = np.array([[0.95, 0.05], [-0.05, 0.95]])
    drive, loading = 0.1 * np.eye(2), rng.normal(size=(features, 2))
    mixing = rng.normal(size=(features, features)) / features**0.5
    spread = noise**2 * (mixing @ mixing.T + 0.3 * np.eye(features))
    state, states = np.zeros(2), []
    for _ in range(n):
        state = transition @ state + rng.multivariate_normal(np.zeros(2), drive)
        states.append(state)
    y = np.array(states)
    x = y @ loading.T + rng.multivariate_normal(np.zeros(features), spread, size=n)
    return x, y, Dynamics(transition, drive), Observation(loading, spread, np.zeros(features))


def textbook(x, dynamics, observation):
    """The recursion as every book has it, with a gain of its own in every bin."""
    transition, drive = dynamics
    loading, spread, _ = observation
    size = len(transition)
    estimate, covariance, estimates = np.zeros(size), np.eye(size), []
    for seen in x:
        predicted = transition @ estimate
        ahead = transition @ covariance @ transition.T + drive
        gain = ahead @ loading.T @ np.linalg.inv(loading @ ahead @ loading.T + spread)
        estimate = predicted + gain @ (seen - loading @ predicted)
        covariance = (np.eye(size) - gain @ loading) @ ahead
        estimates.append(estimate)
    return np.array(estimates)


def run(keep, gain, x):
    estimate, estimates = np.zeros(len(keep)), []
    for seen in x:
        estimate = keep @ estimate + gain @ seen
        estimates.append(estimate)
    return np.array(estimates)


def as_features(x):
    """(bins, features) as (bins, channels, bands)."""
    return x.reshape(len(x), -1, 2).astype(np.float32)


def fitted(rng, n=4000, missing=0.02):
    x, y, *_ = system(rng, n)
    mask = rng.random(n) > missing
    decoder = KalmanDecoder(BIN_MS).fit(as_features(x), y + 3.0, mask, train=TRAIN, valid=VALID)
    return decoder, as_features(x), y + 3.0, mask


def test_the_settled_gain_is_that_of_the_textbook():
    x, _, dynamics, observation = system(np.random.default_rng(0), n=600)
    keep, gain = steady_filters(dynamics, observation, 0 * ONE, ONE)
    expected = textbook(x, dynamics, observation)
    # What is left of the start fades with the bins.
    np.testing.assert_allclose(run(keep[0, 0], gain[0, 0], x)[300:], expected[300:], atol=1e-9)


@pytest.mark.parametrize("drive", [1e-6, 1e-2, 1.0, 1e4])
def test_the_settled_covariance_solves_the_riccati_equation(drive):
    rng = np.random.default_rng(1)
    _, _, dynamics, observation = system(rng, n=2)
    loading, spread, _ = observation
    information = loading.T @ np.linalg.solve(spread, loading)
    found = steady_covariance(dynamics.transition, drive * dynamics.noise, information)
    expected = solve_discrete_are(dynamics.transition.T, loading.T, drive * dynamics.noise, spread)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * drive)


def test_stacks_of_models_are_solved_as_one_by_one():
    x, _, dynamics, observation = system(np.random.default_rng(2), n=2)
    penalties, drives = np.array([0.0, 0.1, 10.0]), np.array([1e-4, 1.0])
    together = steady_filters(dynamics, observation, penalties, drives)
    assert together.gain.shape == (3, 2, 2, x.shape[1])
    for i, j in np.ndindex(3, 2):
        spread = observation.noise
        spread = spread + penalties[i] * spread.trace() / len(spread) * np.eye(len(spread))
        driven = dynamics._replace(noise=drives[j] * dynamics.noise)
        alone = steady_filters(driven, observation._replace(noise=spread), 0 * ONE, ONE)
        np.testing.assert_allclose(together.keep[i, j], alone.keep[0, 0], atol=1e-10)
        np.testing.assert_allclose(together.gain[i, j], alone.gain[0, 0], atol=1e-10)


def test_the_model_of_a_simulated_system_is_recovered():
    x, y, dynamics, observation = system(np.random.default_rng(3), n=10_000)
    follows = np.arange(len(y)) > 0
    transition, drive = fit_dynamics(y, follows)
    np.testing.assert_allclose(transition, dynamics.transition, atol=0.03)
    np.testing.assert_allclose(drive, dynamics.noise, atol=0.01)
    found = fit_observation(y, x)
    np.testing.assert_allclose(found.loading, observation.loading, atol=0.15)
    np.testing.assert_allclose(found.noise, observation.noise, atol=0.9)


def test_growing_modes_are_slowed():
    y = 1.01 ** np.arange(300.0)[:, None]
    transition, _ = fit_dynamics(y, np.arange(300) > 0)
    assert 0.99 < transition[0, 0] < 1.0


def test_it_decodes_a_simulated_system_near_the_optimum():
    rng = np.random.default_rng(4)
    x, y, dynamics, observation = system(rng)
    mask = rng.random(len(x)) > 0.02
    decoder = KalmanDecoder(BIN_MS).fit(as_features(x), y, mask, train=TRAIN, valid=VALID)
    ridge = RidgeDecoder(BIN_MS).fit(as_features(x), y, mask, train=TRAIN, valid=VALID)
    test = slice(*TEST)
    best = mean_r2(y[test], textbook(x, dynamics, observation)[test], mask[test])
    found = mean_r2(y[test], decoder.predict(as_features(x))[test], mask[test])
    assert 0.5 < best < 0.95
    assert found > best - 0.03
    assert found > mean_r2(y[test], ridge.predict(as_features(x))[test], mask[test])
    assert decoder.lookahead_ms == 0.0


@pytest.mark.parametrize("shift", [-5, 5])
def test_it_finds_the_lag(shift):
    """Features that lead behavior by 5 bins, or trail it."""
    x, y, *_ = system(np.random.default_rng(5), noise=0.3)
    mask = np.ones(len(y), bool)
    x, y = as_features(np.roll(x, -shift, axis=0)), y
    decoder = KalmanDecoder(BIN_MS, lag_s=0.0).fit(x, y, mask, train=TRAIN, valid=VALID)
    assert decoder.choice.lag_bins == shift
    test = slice(*TEST)
    assert mean_r2(y[test], decoder.predict(x)[test], mask[test]) > (0.9 if shift > 0 else 0.3)


def test_the_causal_contract():
    rng = np.random.default_rng(6)
    for lag_s, roll in ((0.5, 0), (0.0, -5)):  # a map of the last bins, or late bins
        x, y, *_ = system(rng, noise=1.0)
        x, mask = as_features(np.roll(x, roll, axis=0)), np.ones(len(y), bool)
        decoder = KalmanDecoder(BIN_MS, lag_s).fit(x, y, mask, train=TRAIN, valid=VALID)
        some = x[:300].astype(np.float64)
        check_causal_part(decoder.step, decoder.initial_state, some, rng=rng, rtol=1e-9, atol=1e-10)
        whole = decoder.step(some, decoder.initial_state())[0]
        np.testing.assert_array_equal(decoder.predict(some), whole)


def test_a_map_of_many_taps_keeps_the_contract():
    rng = np.random.default_rng(7)
    n = 4000
    x = rng.normal(size=(n, 4, 2))
    drive = np.stack([np.convolve(x[:, i, 0], np.ones(15), "full")[:n] for i in (0, 1)], 1)
    y, mask = drive + 0.1 * rng.normal(size=(n, 2)), np.ones(n, bool)
    decoder = KalmanDecoder(BIN_MS).fit(x, y, mask, train=TRAIN, valid=VALID)
    assert decoder.choice.taps == 25  # one bin says little
    assert mean_r2(y[slice(*TEST)], decoder.predict(x)[slice(*TEST)], mask[slice(*TEST)]) > 0.9
    assert decoder.parameters == 4 * 4 + 4 * 25 * 8 + 4 + 2 * 4 + 2
    check_causal_part(decoder.step, decoder.initial_state, x[:300], rng=rng, atol=1e-9)


def test_states_never_reach_across_a_gap():
    y = np.arange(40.0)[:, None] ** 2
    mask = np.ones(40, bool)
    mask[[7, 20]] = False
    labels = labelled_states(y, mask, (5, 35), span=3)
    assert np.flatnonzero(labels.known).tolist() == [*range(11, 20), *range(24, 35)]
    assert np.flatnonzero(labels.follows).tolist() == [*range(12, 20), *range(25, 35)]
    y[~mask] = np.nan
    again = labelled_states(y, mask, (5, 35), span=3)
    np.testing.assert_array_equal(again.states, labels.states)


def test_masked_bins_test_time_and_the_future_are_not_used():
    decoder, features, y, mask = fitted(np.random.default_rng(8))
    y[~mask] = np.nan
    features[VALID[1] :], y[VALID[1] :] = 1e3, -1e6
    again = KalmanDecoder(BIN_MS).fit(features, y, mask, train=TRAIN, valid=VALID)
    np.testing.assert_array_equal(again.gain, decoder.gain)
    np.testing.assert_array_equal(again.readout, decoder.readout)
    assert again.choice == decoder.choice


def test_poor_recordings_are_fitted():
    x, y, *_ = system(np.random.default_rng(9), n=3000)
    features, mask = as_features(x), np.ones(3000, bool)
    spans = {"train": (0, 2000), "valid": (2100, 2600)}
    constant = KalmanDecoder(BIN_MS).fit(features, np.full_like(y, 4.0), mask, **spans)
    assert np.isnan(constant.choice.validation_r2)
    np.testing.assert_allclose(constant.predict(features), 4.0)
    features[:, 1] = 0.0
    assert np.isfinite(KalmanDecoder(BIN_MS).fit(features, y, mask, **spans).gain).all()
    still = KalmanDecoder(BIN_MS).fit(np.zeros_like(features), y, mask, **spans)
    assert np.isfinite(still.predict(features)).all()
    mask[:2000] = np.arange(2000) % 2 == 0  # no two known bins in a row
    scattered = KalmanDecoder(BIN_MS).fit(features, y, mask, **spans)
    assert np.isfinite(scattered.predict(features)).all()


def test_errors_say_what_to_do():
    decoder, features, y, mask = fitted(np.random.default_rng(10))
    with pytest.raises(ValueError, match="call fit first"):
        KalmanDecoder(BIN_MS).predict(features)
    with pytest.raises(ValueError, match="every bin is masked"):
        KalmanDecoder(BIN_MS).fit(features, y, np.zeros_like(mask), train=TRAIN, valid=VALID)
    with pytest.raises(ValueError, match=r"\(4, 2\).*\(3, 2\)"):
        decoder.predict(features[:, :3])
