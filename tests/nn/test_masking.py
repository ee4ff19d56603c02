from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.nn.masking import MaskConfig, draw_mask


@settings(max_examples=60, deadline=None)
@given(
    time=st.integers(1, 120),
    channels=st.integers(1, 12),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_never_everything_never_nothing_and_close_to_the_share(time, channels, share, seed):
    if time * channels < 2:
        return
    mask = draw_mask([seed, seed + 1], time, channels, MaskConfig(hidden_share=share), 10.0)
    assert mask.shape == (2, time, channels)
    assert mask.dtype == torch.bool
    hidden = mask.sum((1, 2)).float()
    assert ((hidden > 0) & (hidden < time * channels)).all()
    assert ((hidden - share * time * channels).abs() <= channels + 1).all()


def test_a_window_depends_on_its_own_seed_alone():
    config = MaskConfig()
    together = draw_mask([3, 9, 4], 100, 8, config, 10.0)
    assert torch.equal(together[1], draw_mask([9], 100, 8, config, 10.0)[0])
    assert not torch.equal(together[0], together[2])
    assert draw_mask([], 100, 8, config, 10.0).shape == (0, 100, 8)


def test_spans_are_as_long_as_asked_for():
    mask = draw_mask(range(50), 400, 1, MaskConfig(hidden_share=0.1, span_ms=(200, 200)), 10.0)[
        ..., 0
    ]
    edges = torch.nn.functional.pad(mask.int(), (1, 1)).diff(dim=1)
    spans = (edges == -1).nonzero()[:, 1] - (edges == 1).nonzero()[:, 1]
    assert spans.median() == 20


def test_groups_of_channels_are_hidden_together():
    config = MaskConfig(hidden_share=0.05, span_ms=(100, 100), channel_share=(0.5, 0.5))
    groups = draw_mask(range(50), 200, 8, config, 10.0).sum(-1)
    assert groups[groups > 0].median() == 4


def test_all_bins_are_hidden_equally_often():
    share = draw_mask(range(400), 60, 4, MaskConfig(span_ms=(50, 200)), 10.0).float().mean((0, 2))
    assert (share - 0.5).abs().max() < 0.1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"span_ms": (90, 30)}, "span_ms"),
        ({"span_ms": (-1, 30)}, "span_ms"),
        ({"channel_share": (0.5, 1.5)}, "channel_share"),
        ({"hidden_share": 1.0}, "hidden_share"),
        ({"span": (1, 2)}, "span"),
    ],
)
def test_impossible_configurations_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        MaskConfig(**keys)


def test_a_window_of_one_entry_is_refused():
    with pytest.raises(ValueError, match="at least two entries"):
        draw_mask([0], 1, 1, MaskConfig(), 10.0)
