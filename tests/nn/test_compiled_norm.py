"""The compiled norm against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from realm.nn.norms import RMSNorm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("strided", [False, True])
def test_output_and_gradients_are_those_of_torch(dtype, tolerance, strided):
    torch.manual_seed(0)
    norm = RMSNorm(13, eps=1e-5).to(dtype)
    nn.init.uniform_(norm.weight, -1, 2)
    x = torch.randn(3, 40, 13, dtype=dtype)
    x = (x.transpose(0, 1).contiguous().transpose(0, 1) if strided else x).requires_grad_()
    with torch.no_grad():
        x[1, 5] = 0
    given = torch.randn(3, 40, 13, dtype=dtype)
    results = []
    for forward in (norm.forward, lambda x: nn.RMSNorm.forward(norm, x)):
        y = forward(x)
        results.append([y, *torch.autograd.grad(y, [x, norm.weight], given)])
    for found, expected in zip(*results, strict=True):
        assert (found - expected).abs().max() <= tolerance * max(1.0, expected.abs().max())


def test_a_missing_value_stays_in_its_bin():
    x = torch.randn(1, 40, 13)
    x[0, 7, 3] = torch.nan
    assert RMSNorm(13, eps=1e-5)(x)[0].isnan().any(1).nonzero().flatten().tolist() == [7]
