from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realm.data.splits import check_length, split_bins, split_seconds


def test_the_protocol() -> None:
    assert split_seconds(24000, bin_ms=10.0) == {
        "train": (0, 168),
        "validation": (170, 190),
        "test": (192, 240),
    }


@given(bins=st.integers(0, 10_000_000), bin_ms=st.sampled_from([1.0, 3.3, 5.0, 10.0, 20.0]))
def test_shares_and_gaps(bins: int, bin_ms: float) -> None:
    n_bins = bins + round(60_000 / bin_ms)
    splits = split_bins(n_bins, bin_ms)
    assert splits["train"][0] == 0
    assert splits["test"][1] == n_bins
    assert abs(splits["train"][1] - 0.7 * n_bins) <= 1
    assert abs(splits["test"][0] - 0.8 * n_bins) <= 1
    for before, after in (("train", "validation"), ("validation", "test")):
        assert (splits[after][0] - splits[before][1]) * bin_ms >= 2000 - 1e-6


@pytest.mark.parametrize(
    ("duration_s", "split", "needed"),
    [(4.0, "train", 6), (30.0, "validation", 80), (0.0, "train", 6)],
)
def test_too_short(duration_s: float, split: str, needed: int) -> None:
    with pytest.raises(ValueError, match=f"day1: expected at least {needed} s so that the {split}"):
        check_length("day1", round(duration_s * 100), bin_ms=10.0, window_s=4.0)
