"""Nothing but signal reaches a filter, and a fault is over when it is over."""

from __future__ import annotations

import numpy as np
import pytest
from signal_examples import fitted, lfp

from realm.signal import Guard, GuardLimits, SignalChain, SignalConfig, fit_limits

RATE = 500.0
QUIET = SignalConfig(reference="none")


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return lfp(int(8 * RATE), 5, RATE)


def flags(x: np.ndarray, config: SignalConfig = QUIET) -> np.ndarray:
    chain = fitted(lfp(int(8 * RATE), x.shape[1], RATE), RATE, config)
    guard = chain.stages[0]
    out, _ = guard.step(x, guard.initial_state())
    assert np.isfinite(out.samples).all()
    assert np.abs(out.samples).max() < 1e-2
    return out.bad


def test_ordinary_samples_pass_with_their_centre_removed(x: np.ndarray) -> None:
    chain = fitted(x, RATE, QUIET)
    out, _ = chain.stages[0].step(x, chain.stages[0].initial_state())
    assert not out.bad.any()
    np.testing.assert_array_equal(out.samples, x - np.median(x, axis=0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0, -1e300])
def test_one_bad_sample_is_flagged_alone(x: np.ndarray, value: float) -> None:
    y = x.copy()
    y[1000, 2] = value
    assert np.argwhere(flags(y)).tolist() == [[1000, 2]]


def test_flat_is_flagged_from_its_limit_on(x: np.ndarray) -> None:
    y = x.copy()
    y[1000:1300, 0] = y[1000, 0]  # 600 ms of one value; 200 ms are 100 samples
    bad = np.flatnonzero(flags(y)[:, 0])
    assert bad.tolist() == list(range(1099, 1300))


def test_saturation_is_flagged_sooner(x: np.ndarray) -> None:
    y = x.copy()
    y[1000:1040, 0] = 1.5e-3  # 80 ms at a rail; 20 ms are 10 samples
    assert np.flatnonzero(flags(y)[:, 0]).tolist() == list(range(1009, 1040))


def test_counts_may_be_flat_for_long() -> None:
    counts = np.random.default_rng(0).poisson(0.02, size=(3000, 2)).astype(float)
    config = SignalConfig(preset="slow", flat_ms=0, reference="none")
    chain = SignalChain(config, 100.0, ["a", "b"]).fit_guard(counts)
    assert not chain.dead_channels
    filled = chain.forward(counts).filled
    assert filled.mean() < 0.01


def test_a_gap_is_bridged_by_the_last_value_that_fades(x: np.ndarray) -> None:
    chain = fitted(x, RATE, QUIET)
    y = x.copy()
    y[1000:1500, 1] = np.nan
    samples = chain.stages[0].step(y, chain.stages[0].initial_state())[0].samples[:, 1]
    assert samples[1000] == samples[999]
    assert abs(samples[1025] / samples[999]) < 0.5
    assert abs(samples[1400] / samples[999]) < 1e-3


def test_a_channel_that_dies_is_masked_and_returns(x: np.ndarray) -> None:
    chain = fitted(x, RATE, SignalConfig(dead_ms=1000, recovery_ms=200))
    y = x.copy()
    y[1000:2000, 3] = np.nan
    state = chain.initial_state()
    _, state = chain.step(y[:1400], state)
    assert chain.masked_channels(state) == ()
    _, state = chain.step(y[1400:1600], state)
    assert chain.masked_channels(state) == ("c3",)
    features, state = chain.step(y[1600:2050], state)
    assert chain.masked_channels(state) == ("c3",)  # good again, but not for long enough
    assert (features.values[:, 3] == 0).all()
    assert (features.filled[:, 3] == 1).all()
    _, state = chain.step(y[2050:2200], state)
    assert chain.masked_channels(state) == ()


def test_a_channel_marked_bad_stays_masked(x: np.ndarray) -> None:
    chain = SignalChain(SignalConfig(), RATE, list("abcde"), [False, True, False, False, False])
    chain = chain.fit_guard(x)
    chain = chain.fit_normalization(chain.forward(x))
    features = chain.forward(x)
    assert (features.filled[:, 1] == 1).all()
    assert (features.values[:, 1] == 0).all()
    assert (features.filled[:, [0, 2, 3, 4]] == 0).all()
    assert chain.dead_channels == {"b": "marked bad in the recording"}
    assert any("channel b" in text for _, _, text in chain.describe())


def test_dead_channels_are_found_with_a_reason(x: np.ndarray) -> None:
    y = np.concatenate([x, x], axis=1)
    y[:, 0] = 1e-3
    y[:, 1] = np.nan
    y[:, 2] = 1e-6 * np.random.default_rng(0).normal(size=len(y))
    y[: int(0.7 * len(y)), 3] = np.nan
    limits = fit_limits(y, SignalConfig(), RATE)
    assert sorted(limits.dead) == [0, 1, 2, 3]
    assert "flat" in limits.dead[0]
    assert "varies" in limits.dead[2]
    assert np.isfinite(limits.centre).all()
    assert (limits.scale > 0).all()
    chain = SignalChain(SignalConfig(), RATE, [str(i) for i in range(10)]).fit_guard(y)
    assert np.isfinite(chain.forward(y).values).all()


def test_limits_shrug_off_artefacts_of_training_time(x: np.ndarray) -> None:
    y = x.copy()
    y[500:700] = 4.0
    y[900:950] = np.nan
    clean, dirty = (fit_limits(v, SignalConfig(), RATE) for v in (x, y))
    np.testing.assert_allclose(dirty.scale, clean.scale, rtol=0.1)
    np.testing.assert_allclose(dirty.centre, clean.centre, atol=0.2 * clean.scale.max())


def test_before_fitting_only_the_impossible_is_refused(x: np.ndarray) -> None:
    chain = SignalChain(QUIET, RATE, list("abcde"))
    guard = chain.stages[0]
    assert isinstance(guard, Guard)
    assert "not fitted" in guard.describe()
    y = x.copy()
    y[10, 0], y[20, 0], y[30, 0] = 1e300, np.nan, 1.0
    bad = guard.step(y, guard.initial_state())[0].bad
    assert np.argwhere(bad).tolist() == [[10, 0], [20, 0]]
    assert np.isfinite(chain.forward(y).values).all()


def test_limits_of_nothing_but_dead_channels() -> None:
    limits = fit_limits(np.full((100, 2), np.nan), SignalConfig(), RATE)
    assert sorted(limits.dead) == [0, 1]
    assert isinstance(limits, GuardLimits)


FAULTS = {  # samples, value, and how close the features are a second later
    "one NaN": (1, np.nan, 0.01),
    "a spike of a volt": (1, 1.0, 0.01),
    "a gap of 500 ms": (250, np.nan, 0.05),
    "a stretch at the rail": (100, 1.5e-3, 0.25),  # its first 20 ms cannot be known for a rail
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("line_hz", [None, 50.0])
def test_recovery_within_a_second(x: np.ndarray, fault: str, line_hz: float | None) -> None:
    """One second after a fault the features are back, in standard deviations."""
    length, value, close = FAULTS[fault]
    chain = fitted(x, RATE, SignalConfig(line_hz=line_hz))
    clean = chain.forward(x).values
    y = x.copy()
    y[2000 : 2000 + length, 0] = value
    faulty = chain.forward(y)
    error = np.abs(faulty.values - clean)
    end = chain.n_bins(2000 + length) + 1
    assert (faulty.filled[chain.n_bins(2000) : end, 0] > 0).any()
    assert error[: chain.n_bins(2000)].max() == 0
    assert error[end + 100 :].max() < close
    if length == 1:
        assert error[:, 0].max() < 1.0  # a single sample is hardly seen at all
    if fault != "a stretch at the rail":
        assert error[end + 20 :, 0, 1:].max() < 0.5  # band power is back in 200 ms


def test_a_gap_is_no_drop_in_power(x: np.ndarray) -> None:
    chain = fitted(x, RATE, QUIET)
    y = x.copy()
    y[2000:2500, 0] = np.nan
    raw = chain.with_normalization(None).forward(y).values[400:500, 0, 1:]
    assert np.abs(np.diff(raw[1:], axis=0)).max() < 1e-12
