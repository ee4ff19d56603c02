"""The compiled mixer against the plain one, which is the definition."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from realm.nn import fusing, mamba2
from realm.nn.compiled import mixer as mixer_module
from realm.nn.compiled.block import Parameters
from realm.nn.compiled.mixer import fused_mixer
from realm.nn.fusing import FUSED_LENGTH
from realm.nn.mamba2 import Mamba2, Mamba2State

pytestmark = pytest.mark.usefixtures("one_thread")


def case(length: int, dtype: torch.dtype, conv_kernel: int = 4) -> tuple[Mamba2, list[Tensor]]:
    torch.manual_seed(length)
    mixer = Mamba2(12, d_state=5, headdim=6, conv_kernel=conv_kernel).to(dtype)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    silent = mixer.initial_state(3)
    inputs = [
        torch.randn(3, length, 12),
        torch.randn(silent.conv.shape),
        torch.randn(silent.ssm.shape),
    ]
    return mixer, [t.to(dtype).requires_grad_() for t in inputs]


def results(mixer: Mamba2, inputs: list[Tensor], plain: bool) -> list[Tensor]:
    x, state = inputs[0], Mamba2State(*inputs[1:])
    y, after = mixer._plain_step(x, state) if plain else mixer.step(x, state)
    torch.manual_seed(1)
    outputs = (y, *after)
    loss = sum((o * torch.randn(o.shape, dtype=torch.float64).to(o.dtype)).sum() for o in outputs)
    return [*outputs, *torch.autograd.grad(loss, [*inputs, *mixer.parameters()])]


NAMES = ["y", "conv", "ssm", "dx", "d conv", "d ssm"]


# One chunk, whole chunks, padded chunks; one to five taps.
@pytest.mark.parametrize(("length", "conv_kernel"), [(16, 4), (50, 1), (100, 5), (173, 4)])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_outputs_and_gradients_are_those_of_the_plain_mixer(
    length, conv_kernel, block_bytes, monkeypatch
):
    monkeypatch.setattr(mixer_module, "BLOCK_BYTES", block_bytes)
    mixer, inputs = case(length, torch.float64, conv_kernel)
    names = [*NAMES, *(f"d {name}" for name, _ in mixer.named_parameters())]
    found, expected = results(mixer, inputs, plain=False), results(mixer, inputs, plain=True)
    for name, one, other in zip(names, found, expected, strict=True):
        largest = other.abs().max().item() if other.numel() else 0.0  # of one tap there is no past
        difference = (one - other).abs().max().item() if one.numel() else 0.0
        assert difference <= 1e-10 * max(1.0, largest), name


def test_float32_stays_close_to_float64():
    mixer, inputs = case(200, torch.float64)
    expected = results(mixer, inputs, plain=True)
    single = [t.detach().float().requires_grad_() for t in inputs]
    for one, other in zip(results(mixer.float(), single, plain=False), expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 2e-5 * other.norm()


def test_gradcheck():
    mixer, inputs = case(17, torch.float64)
    x, past, state = (t[:1].detach().requires_grad_() for t in inputs)
    parameters = mixer._merged()
    assert len(parameters) == len(Parameters._fields)
    assert torch.autograd.gradcheck(
        lambda *t: fused_mixer(*t, parameters, chunk=7), (x, past, state), fast_mode=True
    )


def test_nothing_of_what_is_given_changes():
    mixer, inputs = case(60, torch.float32)
    before = [t.clone() for t in inputs]
    y, _ = mixer.step(inputs[0], Mamba2State(*inputs[1:]))
    y.sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))


def test_nan_is_not_hidden():
    mixer, inputs = case(60, torch.float32)
    with torch.no_grad():
        inputs[0][1, 30, 2] = torch.nan
        y = mixer(inputs[0])
    assert y[1, 30:].isnan().any(-1).all()
    assert not y[1, :30].isnan().any()
    assert not y[[0, 2]].isnan().any()


@pytest.mark.parametrize("time", [FUSED_LENGTH - 1, FUSED_LENGTH])
def test_long_chunks_on_one_thread_are_fused(time, monkeypatch):
    used = []
    monkeypatch.setattr(fusing, "tried", lambda *_: lambda *a: (used.append(1), fused_mixer(*a))[1])
    mixer, inputs = case(time, torch.float32)
    mixer(inputs[0])
    assert len(used) == (time >= FUSED_LENGTH)
    torch.set_num_threads(2)
    mixer(inputs[0])
    assert len(used) == (time >= FUSED_LENGTH)


@pytest.mark.usefixtures("nothing_compiled")
def test_without_numba_the_plain_mixer_is_used_and_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    mixer, inputs = case(60, torch.float32)
    with pytest.warns(UserWarning, match="numba cannot be used"):
        y = mixer(inputs[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert torch.equal(mixer(inputs[0]), y)
    assert torch.equal(mixer._plain_step(inputs[0], mixer.initial_state(3))[0], y)


@pytest.mark.parametrize("time", [40, 79, 80, 100])
def test_long_streams_without_gradients_are_read_in_pieces(time, monkeypatch):
    mixer, inputs = case(time, torch.float64)
    state = Mamba2State(*inputs[1:])
    expected, after = mixer.step(inputs[0], state)
    monkeypatch.setattr(mamba2, "STREAMED_LENGTH", 40)
    lengths = []

    def fused(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
        lengths.append(x.shape[1])
        return fused_mixer(x, *rest)

    monkeypatch.setattr(fusing, "tried", lambda *_: fused)
    with torch.no_grad():
        found, end = mixer.step(inputs[0], state)
    assert lengths == {40: [40], 79: [79], 80: [40, 40], 100: [40, 60]}[time]
    for one, other in zip((found, *end), (expected, *after), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)
