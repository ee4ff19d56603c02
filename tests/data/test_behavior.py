from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.data.behavior import align, interpolate, smooth
from realm.recordings.recording import TimeSeries


def series(values: np.ndarray, rate_hz: float, start_s: float = 0.0) -> TimeSeries:
    values = np.asarray(values, float).reshape(len(values), -1)
    names = tuple("xyz"[: values.shape[1]])
    return TimeSeries(start_s + np.arange(len(values)) / rate_hz, values, "m", names)


@pytest.mark.parametrize(
    ("rate_hz", "bin_ms"), [(100, 10), (50, 10), (1000, 10), (60, 7), (30, 20)]
)
def test_value_of_a_bin_is_the_behavior_at_its_end(rate_hz: float, bin_ms: float) -> None:
    clock = series(np.arange(4 * rate_hz) / rate_hz + 5.0, rate_hz, start_s=5.0)
    found = align(clock, "as_stored", 0.0, bin_ms, 100, start_s=5.0)
    np.testing.assert_allclose(found.values[:, 0], 5 + np.arange(1, 101) * bin_ms / 1000, rtol=1e-6)
    assert found.mask.all()
    assert (found.names, found.unit) == (("x",), "m")


def test_bins_outside_the_behavior_are_unknown() -> None:
    found = align(series(np.ones(100), 100, start_s=1.0), "as_stored", 0.0, 10, 300, start_s=0.0)
    np.testing.assert_array_equal(np.flatnonzero(found.mask), np.arange(99, 199))
    assert (found.values[~found.mask] == 0).all()


def test_only_gaps_of_up_to_two_periods_are_bridged() -> None:
    values = np.arange(50, dtype=float)
    values[10], values[20:22] = np.nan, np.nan
    times = np.arange(50) * 0.02
    at = np.arange(100) * 0.01
    found = interpolate(times, values[:, None], at, 0.02)[:, 0]
    unknown = (at > 19 * 0.02 + 1e-9) & (at < 22 * 0.02 - 1e-9)
    unknown |= at > times[-1] + 1e-9
    np.testing.assert_array_equal(np.isnan(found), unknown)
    np.testing.assert_allclose(found[~unknown], at[~unknown] / 0.02, atol=1e-9)


def test_one_unknown_dim_makes_the_bin_unknown() -> None:
    values = np.ones((100, 2))
    values[40:60, 1] = np.nan
    found = align(series(values, 100), "as_stored", 0.0, 10, 99, 0.0)
    np.testing.assert_array_equal(np.flatnonzero(~found.mask), np.arange(39, 59))


def test_velocity_is_the_derivative() -> None:
    t = np.arange(2000) / 200
    position = np.stack([np.sin(t), 3 * t], axis=1)
    found = align(series(position, 200), "velocity", 0.0, 10, 990, 0.0)
    ends = np.arange(1, 991) * 0.01
    np.testing.assert_allclose(found.values[:, 0], np.cos(ends), atol=2e-5)
    np.testing.assert_allclose(found.values[:, 1], 3, rtol=1e-5)
    assert (found.names, found.unit) == (("velocity_x", "velocity_y"), "m/s")


def test_speed_is_the_length_of_the_smoothed_velocity() -> None:
    rng = np.random.default_rng(0)
    position = np.cumsum(rng.standard_normal((500, 2)), axis=0) * 0.01
    found = align(series(position, 50), "speed", 0.4, 20, 498, 0.0)
    box = np.ones(21) / 21
    smoothed = np.stack([np.convolve(position[:, d], box, "valid") for d in range(2)], axis=1)
    expected = np.linalg.norm(smoothed[2:] - smoothed[:-2], axis=1) / 0.04
    np.testing.assert_allclose(found.values[10 : 10 + len(expected), 0], expected, rtol=1e-5)
    assert found.names == ("speed",)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0.0, 0.7),
    slope=st.floats(-5, 5),
    width=st.sampled_from([0.0, 0.1, 0.4]),
)
def test_missing_samples_do_not_bias_a_steady_movement(
    seed: int, share: float, slope: float, width: float
) -> None:
    rng = np.random.default_rng(seed)
    position = 7 + slope * np.arange(400) / 50
    position[rng.random(400) < share] = np.nan
    if not np.isfinite(position).any():
        return
    found = align(series(position, 50), "velocity", width, 20, 398, 0.0)
    np.testing.assert_allclose(found.values[found.mask], slope, atol=1e-5)


def test_smoothing_leaves_missing_samples_missing() -> None:
    values = np.random.default_rng(0).standard_normal((200, 1))
    values[50:80] = np.nan
    smoothed = smooth(values, 0.4, 0.02)
    assert np.isnan(smoothed[50:80]).all()
    assert np.isfinite(smoothed[100:150]).all()


def test_irregular_timestamps_are_laid_on_their_own_grid() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(1000) / 100 + rng.uniform(-0.002, 0.002, 1000)
    moving = TimeSeries(times, (2 * times)[:, None], "m", ("x",))
    found = align(moving, "velocity", 0.1, 10, 980, 0.0)
    assert found.mask[5:-25].all()
    np.testing.assert_allclose(found.values[found.mask], 2, atol=1e-4)


def test_behavior_that_never_varies_stays_a_number() -> None:
    found = align(series(np.full(200, 3.0), 100), "speed", 0.4, 10, 190, 0.0)
    assert found.mask.all()
    np.testing.assert_allclose(found.values, 0, atol=1e-6)
