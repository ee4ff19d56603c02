"""The compiled counts of bad channels are those of the plain ones."""

from __future__ import annotations

import numpy as np
import pytest

from realm.signal import Features
from realm.streaming.quality import Counted, count

pytest.importorskip("numba")

from realm.streaming.tally import compiled_count

BINS, CHANNELS, BANDS = 200, 7, 4


def bins(seed: int) -> Features:
    """Bins in which all that is counted comes about, up to a bin without any sample."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(size=(BINS, CHANNELS, BANDS)) * 6, -10, 10)
    filled = rng.choice([0, 0.3, 0.5, 0.6, 1], size=(BINS, CHANNELS))
    filled[::9], filled[4::9] = 1, 0
    return Features(values, filled)


@pytest.mark.parametrize("dead", [(), (2,), (0, 3, 6), tuple(range(CHANNELS))])
@pytest.mark.parametrize("quorum", [0.0, 0.5, 1.0])
def test_compiled_counts_are_the_plain_ones(dead: tuple[int, ...], quorum: float) -> None:
    features, usable = bins(len(dead)), np.ones(CHANNELS, bool)
    usable[list(dead)] = False
    plain, fast = count(features, usable, quorum), compiled_count(features, usable, quorum)
    for name, expected, got in zip(Counted._fields, plain, fast, strict=True):
        assert got.dtype == expected.dtype, name
        np.testing.assert_allclose(got, expected, atol=1e-15, err_msg=name)
    assert 0 < plain.clipped_channels.max() <= CHANNELS
    assert plain.gap.any()


def test_no_bins_count_nothing() -> None:
    none = Features(np.empty((0, CHANNELS, BANDS)), np.empty((0, CHANNELS)))
    for counts in (count, compiled_count):
        assert all(len(each) == 0 for each in counts(none, np.ones(CHANNELS, bool), 0.5))
