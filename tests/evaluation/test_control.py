from __future__ import annotations

import numpy as np
import pytest

from realm.evaluation.control import shifted_control
from realm.evaluation.metrics import mean_r2

BIN_MS = 20.0
FIT, TEST = slice(0, 9000), slice(9000, 12000)  # 180 s and 60 s


def behavior(rng, n=12000, dims=2):
    kernel = np.hanning(60)
    return np.stack([np.convolve(rng.normal(size=n), kernel, "same") for _ in range(dims)], axis=1)


def control(y, pred, mask=None, **options):
    mask = np.ones(len(y), bool) if mask is None else mask
    return shifted_control(
        y[FIT], pred[FIT], mask[FIT], y[TEST], pred[TEST], mask[TEST], bin_ms=BIN_MS, **options
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_with_real_signal_gives_about_zero(seed):
    rng = np.random.default_rng(seed)
    y = behavior(rng)
    pred = y + 0.5 * behavior(rng)
    assert mean_r2(y, pred, np.ones(len(y), bool)) > 0.7
    result = control(y, pred)
    assert -0.15 < result.r2 < 0.05
    assert result.largest < 0.1


def test_predictions_that_hold_the_shifted_target_are_detected():
    rng = np.random.default_rng(5)
    y = behavior(rng)
    shifts = control(y, y).shifts_s
    leak = round(shifts[3] * 1000 / BIN_MS)
    pred = np.empty_like(y)
    for span in (FIT, TEST):
        pred[span] = np.roll(y[span], leak, axis=0)
    result = control(y, pred)
    assert result.per_shift[3] > 0.95
    assert result.r2 > 0.05
    assert np.delete(result.per_shift, 3).max() < 0.1


def test_a_leak_that_follows_every_shift_is_detected_in_full():
    """Outputs wide enough to hold the target at all delays: the readout finds the right one."""
    rng = np.random.default_rng(6)
    y = behavior(rng)
    shifts = (control(y, y).shifts_s * 1000 / BIN_MS).round().astype(int)
    pred = np.concatenate(
        [
            np.concatenate([np.roll(y[span], s, axis=0) for s in shifts], axis=1)
            for span in (FIT, TEST)
        ]
    )
    assert control(y, pred).r2 > 0.9


def test_a_shared_slow_trend_is_detected():
    rng = np.random.default_rng(7)
    slow = np.sin(2 * np.pi * np.arange(12000) * BIN_MS / 1000 / 20.0)[:, None]
    result = control(slow + 0.1 * behavior(rng)[:, :1] / 5, slow)
    assert result.largest > 0.8


def test_shifts_keep_their_distance_both_ways_around():
    y = behavior(np.random.default_rng(8))
    shifts = control(y, y).shifts_s
    assert len(shifts) == 8
    assert shifts.min() >= 15.0  # a quarter of the 60 s that are scored
    assert shifts.max() <= 45.0


def test_the_mask_moves_with_the_behavior():
    rng = np.random.default_rng(9)
    y, mask = behavior(rng), rng.random(12000) > 0.3
    pred = y + behavior(rng)
    expected = control(y, pred, mask)
    y[~mask] = 1e9
    np.testing.assert_allclose(control(y, pred, mask).per_shift, expected.per_shift)


def test_too_short_or_constant_is_undefined():
    y = behavior(np.random.default_rng(10))[:900]  # 18 s
    mask = np.ones(900, bool)
    assert np.isnan(shifted_control(y, y, mask, y, y, mask, bin_ms=BIN_MS).r2)
    still = np.ones((12000, 1))
    assert np.isnan(control(still, behavior(np.random.default_rng(11))).r2)
    nothing = np.zeros(12000, bool)
    assert np.isnan(control(behavior(np.random.default_rng(12)), still, nothing).largest)


def test_predictions_must_be_finite():
    y = behavior(np.random.default_rng(13))
    pred = y.copy()
    pred[10] = np.nan
    with pytest.raises(ValueError, match="finite predictions"):
        control(y, pred)


def test_another_mean_level_in_the_scored_span_does_not_push_the_control_below_zero():
    rng = np.random.default_rng(5)
    y = np.repeat(rng.normal(size=(400, 1)), 50, axis=0)
    pred = y + 0.3 * rng.normal(size=y.shape)
    known = np.ones(len(y), bool)
    half = len(y) // 2
    control = shifted_control(
        y[:half], pred[:half], known[:half], y[half:] + 5, pred[half:] + 5, known[half:], bin_ms=10
    )
    assert abs(control.r2) < 0.1
    assert control.r2 <= control.largest
