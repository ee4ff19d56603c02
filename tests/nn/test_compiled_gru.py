"""The compiled recurrent layer against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from realm.nn import fusing
from realm.nn.compiled.gru import fused_gru_layer
from realm.nn.fusing import FUSED_LENGTH
from realm.nn.recurrent import GRUEncoder, GRUState

pytestmark = pytest.mark.usefixtures("one_thread")


def case(time: int, dtype: torch.dtype = torch.float64) -> tuple[GRUEncoder, list[Tensor]]:
    torch.manual_seed(time)
    encoder = GRUEncoder(12, layers=2).to(dtype)
    inputs = torch.randn(3, time, 12), torch.randn(3, 2, 12)
    return encoder, [t.to(dtype).requires_grad_() for t in inputs]


def results(encoder: GRUEncoder, inputs: list[Tensor], plain: bool) -> dict[str, Tensor]:
    step = encoder._plain_step if plain else encoder.step
    y, after = step(inputs[0], GRUState(inputs[1]))
    torch.manual_seed(1)
    outputs = {"y": y, "hidden": after.hidden}
    noise = {k: torch.randn(o.shape, dtype=torch.float64).to(o.dtype) for k, o in outputs.items()}
    loss = sum((o * noise[k]).sum() for k, o in outputs.items())
    wanted = {"d x": inputs[0], "d state": inputs[1], **dict(encoder.named_parameters())}
    return outputs | dict(
        zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True)
    )


@pytest.mark.parametrize("time", [FUSED_LENGTH, 100])
def test_outputs_and_gradients_are_those_of_torch(time):
    encoder, inputs = case(time)
    found, expected = results(encoder, inputs, plain=False), results(encoder, inputs, plain=True)
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-10 * max(1.0, value.abs().max()), name


def test_float32_stays_close_to_float64():
    encoder, inputs = case(200)
    expected = results(encoder, inputs, plain=True)
    single = [t.detach().float().requires_grad_() for t in inputs]
    for name, value in results(encoder.float(), single, plain=False).items():
        assert value.dtype == torch.float32
        assert (value - expected[name]).norm() <= 2e-5 * expected[name].norm(), name


def test_gradcheck():
    encoder, inputs = case(17)
    x, hidden = inputs[0].detach().transpose(0, 1), inputs[1].detach()[:, 0]
    given = [x, hidden, *encoder.gru.all_weights[0]]
    copies = [t.detach().clone().requires_grad_() for t in given]
    assert torch.autograd.gradcheck(fused_gru_layer, copies, fast_mode=True)


def test_gradients_twice_from_one_pass_are_the_same():
    encoder, (x, hidden) = case(30)
    y = encoder.step(x, GRUState(hidden))[0].sum()
    once, again = (torch.autograd.grad(y, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(once, again)


def test_extreme_and_missing_values_are_those_of_torch():
    encoder, (x, hidden) = case(40, torch.float32)
    with torch.no_grad():
        x[0, 5], x[1, 7], x[2, 20] = 1e4, -1e30, torch.nan
        found = encoder.step(x, GRUState(hidden))[0]
        expected = encoder._plain_step(x, GRUState(hidden))[0]
    assert found[2, 20:].isnan().all()
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("time", [FUSED_LENGTH - 1, FUSED_LENGTH])
def test_long_chunks_on_one_thread_are_fused(time, monkeypatch):
    used = []
    monkeypatch.setattr(
        fusing, "tried", lambda *_: lambda *a: (used.append(1), fused_gru_layer(*a))[1]
    )
    encoder, (x, _) = case(time, torch.float32)
    encoder(x)
    assert len(used) == 2 * (time >= FUSED_LENGTH)
    torch.set_num_threads(2)
    encoder(x)
    assert len(used) == 2 * (time >= FUSED_LENGTH)
