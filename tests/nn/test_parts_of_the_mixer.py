"""The convolution and the gated norm against torch's own operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.mamba2 import causal_conv_silu
from realm.nn.norms import gated_norm


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def agrees(found: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(found)
    one, other = (torch.autograd.grad((y * weights).sum(), inputs) for y in (found, expected))
    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("time", [1, 2, 9])
def test_the_convolution_is_that_of_torch(time: int) -> None:
    torch.manual_seed(0)
    inputs = recent, weight, bias = normal(3, 3 + time, 5), normal(4, 5), normal(5)
    convolved = F.conv1d(recent.transpose(1, 2), weight.t()[:, None], bias, groups=5)
    agrees(causal_conv_silu(*inputs), F.silu(convolved).transpose(1, 2), inputs)


def test_the_gated_norm_is_that_of_torch() -> None:
    torch.manual_seed(0)
    inputs = normal(3, 6, 2, 4), normal(3, 6, 2, 4), normal(2), normal(3, 6, 8), normal(8)
    y, x, skip, gate, weight = inputs
    norm = nn.RMSNorm(8, eps=1e-5, elementwise_affine=False)
    expected = norm((y + x * skip[:, None]).reshape(3, 6, 8) * F.silu(gate)) * weight
    agrees(gated_norm(*inputs), expected, inputs)
