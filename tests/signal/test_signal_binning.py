"""Every sample in its own bin, at any rate and any width."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.signal import Banded, Binning, SignalChain, SignalConfig


def banded(values: np.ndarray) -> Banded:
    return Banded(values[:, None, None], np.zeros((len(values), 1), dtype=bool))


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([100.0, 250.0, 500.0, 1000.0, 1017.25, 24414.0625, 30000.0, 333.333]),
    bin_ms=st.sampled_from([10.0, 20.0, 12.5, 33.3, 50.0, 100.0]),
    n=st.integers(0, 3000),
)
def test_bin_k_holds_exactly_the_samples_before_its_end(rate: float, bin_ms: float, n: int) -> None:
    binning = Binning(bin_ms, rate, 1, 1)
    width = Fraction(str(bin_ms)) / 1000
    time = [Fraction(i) / Fraction(str(rate)) for i in range(n)]
    expected: list[list[int]] = []
    for i, t in enumerate(time):
        k = t // width  # the bin with k * width <= t < (k + 1) * width
        while len(expected) <= k:
            expected.append([])
        expected[k].append(i)
    if n and Fraction(n) / Fraction(str(rate)) < len(expected) * width:
        expected.pop()  # its last sample has not come yet
    x = np.random.default_rng(0).normal(size=n)
    features, state = binning.step(banded(x), binning.initial_state())
    assert len(features.values) == len(expected) == binning.n_bins(n)
    means = [np.mean(x[bins]) for bins in expected]
    np.testing.assert_allclose(features.values[:, 0, 0], means, rtol=1e-9, atol=1e-12)
    assert state.n_samples == n


def test_a_bin_comes_with_its_last_sample() -> None:
    binning = Binning(10.0, 24414.0625, 1, 1)
    assert [binning.n_bins(n) for n in (244, 245, 488, 489)] == [0, 1, 1, 2]
    assert Binning(10.0, 500.0, 1, 1).n_bins(5) == 1
    assert Binning(10.0, 250.0, 1, 1).n_bins(3) == 1  # samples 0, 1, 2 lie before 10 ms


def test_a_whole_day_drifts_by_not_one_sample() -> None:
    binning = Binning(10.0, 24414.0625, 1, 1)
    day = 24 * 3600
    assert binning.n_bins(24414 * day + day // 16) == 100 * day
    assert binning.n_bins(24414 * day + day // 16 - 1) == 100 * day - 1
    assert binning.end(100 * day) == 24414 * day + day // 16


def test_filled_is_the_share_of_replaced_samples() -> None:
    binning = Binning(10.0, 400.0, 2, 1)
    bad = np.zeros((8, 2), dtype=bool)
    bad[1, 0] = bad[4:, 1] = True
    features, _ = binning.step(Banded(np.ones((8, 2, 1)), bad), binning.initial_state())
    np.testing.assert_array_equal(features.filled, [[0.25, 0], [0, 1]])


@pytest.mark.parametrize(("bin_ms", "rate"), [(0.5, 1000.0), (1.99, 500.0), (10.0, 99.0)])
def test_a_bin_shorter_than_a_sample_is_refused(bin_ms: float, rate: float) -> None:
    with pytest.raises(ValueError, match=r"expected at least one sample period.*widen"):
        SignalChain(SignalConfig(bin_ms=bin_ms, preset="slow"), rate, ["a"])


def test_a_bin_of_one_sample_passes_samples_on() -> None:
    x = np.random.default_rng(0).normal(size=50)
    binning = Binning(10.0, 100.0, 1, 1)
    features, _ = binning.step(banded(x), binning.initial_state())
    np.testing.assert_array_equal(features.values[:, 0, 0], x)
