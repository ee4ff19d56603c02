from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from realm.nn.encoder import BidirectionalEncoder, EncoderConfig
from realm.nn.mamba2 import BidirectionalMamba2, Mamba2
from realm.nn.ssd import ssd_recurrence


def test_matches_the_formulas_written_out():
    """One bin at a time, with nothing shared with the mixer but its weights."""
    torch.manual_seed(0)
    mixer = Mamba2(8, d_state=4, headdim=4).double()
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    gate, mixed, dt = mixer.to_gate(x), mixer.to_xBC(x), F.softplus(mixer.to_dt(x))
    padded = F.pad(mixed, (0, 0, 3, 0))
    convolved = sum(padded[:, k : k + 12] * mixer.conv_weight[k] for k in range(4))
    inner, B, C = F.silu(convolved + mixer.conv_bias).split([16, 4, 4], dim=-1)
    inner = inner.unflatten(-1, (4, 4))
    A = -mixer.A_log.exp()
    y, _ = ssd_recurrence(inner, dt, A, B + mixer.B_bias, C + mixer.C_bias)
    gated = (y + inner * mixer.D[:, None]).flatten(2) * F.silu(gate)
    normed = gated / (gated.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm_weight
    torch.testing.assert_close(mixer(x), mixer.out(normed), rtol=1e-10, atol=1e-12)


def test_time_constants_start_spread_over_the_range_asked_for():
    mixer = Mamba2(64, headdim=16, timescale_bins=(5, 200))
    bins = 1 / (F.softplus(mixer.to_dt.bias) * mixer.A_log.exp())
    assert bins.min().item() == pytest.approx(5, rel=1e-4)
    assert bins.max().item() == pytest.approx(200, rel=1e-4)
    steps = bins.log().diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-3, atol=0)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of headdim"):
        Mamba2(10, headdim=16)


def test_time_constants_must_be_ordered():
    with pytest.raises(ValueError, match="smaller one first"):
        Mamba2(16, headdim=16, timescale_bins=(200, 5))


def test_bidirectional_reads_both_ways():
    torch.manual_seed(0)
    mixer = BidirectionalMamba2(8, d_state=4, headdim=4)
    x = torch.randn(1, 20, 8)
    other = x.clone()
    other[:, 10] += 1
    changed = (mixer(x) != mixer(other)).any(-1)[0]
    assert changed[:10].any()
    assert changed[11:].any()
    assert not hasattr(mixer, "step")
    assert not hasattr(BidirectionalEncoder(EncoderConfig(layers=1, d_model=16)), "step")


def test_bidirectional_is_symmetric_when_both_ways_are_the_same():
    torch.manual_seed(0)
    mixer = BidirectionalMamba2(8, d_state=4, headdim=4)
    mixer.backward_in_time.load_state_dict(mixer.onward.state_dict())
    x = torch.randn(1, 20, 8)
    torch.testing.assert_close(mixer(x.flip(1)), mixer(x).flip(1))


def test_unknown_key_of_the_configuration_is_refused():
    with pytest.raises(ValueError, match="d_modle"):
        EncoderConfig(d_modle=64)
