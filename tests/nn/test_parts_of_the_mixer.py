"""The convolution and the gated norm, whose gradients are written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from realm.nn import blocks
from realm.nn.causal_conv import causal_conv_silu, causal_conv_silu_autograd
from realm.nn.gated_norm import gated_norm, gated_norm_autograd


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def conv_inputs(time: int = 9) -> tuple[Tensor, ...]:
    return normal(3, 3 + time, 5), normal(4, 5), normal(5)


def norm_inputs(time: int = 6) -> tuple[Tensor, ...]:
    return normal(3, time, 2, 4), normal(3, time, 2, 4), normal(2), normal(3, time, 8), normal(8)


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize(
    ("by_hand", "plain", "inputs"),
    [
        (causal_conv_silu, causal_conv_silu_autograd, conv_inputs),
        (gated_norm, gated_norm_autograd, norm_inputs),
    ],
)
class TestByHand:
    def test_equals_plain(self, by_hand, plain, inputs, block_bytes, monkeypatch):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        torch.manual_seed(0)
        arguments = inputs()
        y, expected = by_hand(*arguments), plain(*arguments)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(y)
        found = torch.autograd.grad((y * weights).sum(), arguments)
        wanted = torch.autograd.grad((expected * weights).sum(), arguments)
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)

    def test_gradcheck(self, by_hand, plain, inputs, block_bytes, monkeypatch):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        torch.manual_seed(0)
        assert torch.autograd.gradcheck(by_hand, inputs(3))
