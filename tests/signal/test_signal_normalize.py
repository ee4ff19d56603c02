"""Statistics gathered in blocks, frozen, and applied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.signal import (
    Features,
    NormalizationFit,
    NormalizationStatistics,
    Normalize,
    SignalChain,
    SignalConfig,
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), offset=st.sampled_from([0.0, -25.0, 1e6]))
def test_blocks_give_the_statistics_of_the_whole(cuts: list[int], offset: float) -> None:
    rng = np.random.default_rng(0)
    values = offset + rng.normal(size=(200, 3, 2))
    filled = (rng.random((200, 3)) < 0.2) * 0.5
    fit = NormalizationFit(3, 2)
    for part in np.split(np.arange(200), sorted(cuts)):
        fit.update(values[part], filled[part])
    got = fit.result()
    for channel in range(3):
        clean = values[filled[:, channel] == 0, channel]
        np.testing.assert_allclose(got.mean[channel], clean.mean(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got.std[channel], clean.std(axis=0), rtol=1e-7)
        assert got.n_bins[channel] == len(clean)


def test_features_come_out_standard_and_clipped() -> None:
    rng = np.random.default_rng(0)
    values, filled = 5 + 3 * rng.normal(size=(1000, 2, 3)), np.zeros((1000, 2))
    filled[10, 0], filled[11, 0] = 1.0, 0.5
    values[20, 1, 0] = 1e9
    statistics = NormalizationFit(2, 3).update(values[30:], filled[30:]).result()
    out, _ = Normalize(statistics).step(Features(values, filled), ())
    np.testing.assert_allclose(out.values[30:].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(out.values[30:].std(axis=0), 1, rtol=1e-12)
    assert out.values[20, 1, 0] == 10
    assert (out.values[10, 0] == 0).all()
    assert (out.values[11, 0] != 0).all()


def test_a_feature_that_never_varies_becomes_zero() -> None:
    values = np.full((50, 1, 2), 0.1)
    statistics = NormalizationFit(1, 2).update(values, np.zeros((50, 1))).result()
    out, _ = Normalize(statistics).step(Features(values, np.zeros((50, 1))), ())
    np.testing.assert_allclose(out.values, 0, atol=1e-12)


def test_no_clean_bin_leaves_harmless_statistics() -> None:
    statistics = NormalizationFit(2, 1).update(np.ones((5, 2, 1)), np.ones((5, 2))).result()
    assert (statistics.std == 1).all()
    assert (statistics.n_bins == 0).all()


def test_features_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(bins, 2 channels, 1 bands\)"):
        NormalizationFit(2, 1).update(np.ones((5, 3, 1)), np.ones((5, 3)))
    chain = SignalChain(SignalConfig(preset="slow"), 500.0, ["a", "b"])
    wrong = NormalizationStatistics(np.zeros((3, 1)), np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match="same channels and bands"):
        chain.with_normalization(wrong)
    zero = NormalizationStatistics(np.zeros((2, 1)), np.zeros((2, 1)), np.ones(2))
    with pytest.raises(ValueError, match="above zero"):
        chain.with_normalization(zero)
    with pytest.raises(ValueError, match="this one has none"):
        chain.normalize(chain.forward(np.zeros((50, 2))))


def test_normalizing_later_equals_normalizing_at_once() -> None:
    x = 1e-4 * np.random.default_rng(0).normal(size=(2000, 2))
    raw = SignalChain(SignalConfig(), 500.0, ["a", "b"]).fit_guard(x)
    chain = raw.fit_normalization(raw.forward(x))
    later, at_once = chain.normalize(raw.forward(x)), chain.forward(x)
    np.testing.assert_array_equal(later.values, at_once.values)
