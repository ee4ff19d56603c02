from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import check_causal_part, check_gradients, check_rows_independent
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from realm.nn.ssd import ssd, ssd_recurrence

NAMES = ("y", "final state", "dx", "ddt", "dA", "dB", "dC", "d initial state")


def draw(
    length: int, *, batch: int = 3, h: int = 2, p: int = 4, n: int = 5, step: float = 1.0
) -> list[Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    dt = step * torch.rand(batch, length, h, dtype=torch.float64)
    A = -torch.rand(h, dtype=torch.float64) - 0.1
    inputs = [normal(batch, length, h, p), dt, A, normal(batch, length, n)]
    return [t.requires_grad_() for t in (*inputs, normal(batch, length, n), normal(batch, h, p, n))]


def results(function, inputs: list[Tensor], weights: tuple[Tensor, Tensor]) -> list[Tensor]:
    outputs = function(*inputs)
    loss = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
    return [*outputs, *torch.autograd.grad(loss, inputs, allow_unused=True)]


def assert_agrees(function, inputs: list[Tensor], tolerance: float = 1e-10) -> None:
    weights = tuple(torch.randn_like(o) for o in ssd_recurrence(*inputs))
    found, expected = (results(f, inputs, weights) for f in (function, ssd_recurrence))
    for name, one, other in zip(NAMES, found, expected, strict=True):
        other = torch.zeros_like(one) if other is None else other  # nothing depends on it
        scale = max(1.0, other.abs().max().item() if other.numel() else 0.0)
        difference = (one - other).abs().max().item() if one.numel() else 0.0
        assert difference <= tolerance * scale, f"{name}: {difference}"


# 50 and 100 are whole chunks; 8 and 0.01 are steps far too long and very short.
@pytest.mark.parametrize("length", [1, 2, 3, 17, 50, 51, 100, 173])
@pytest.mark.parametrize("step", [0.01, 1.0, 8.0])
def test_agrees_with_the_recurrence(length, step):
    torch.manual_seed(length)
    assert_agrees(ssd, draw(length, step=step))


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 90),
    batch=st.integers(1, 4),
    h=st.integers(1, 3),
    p=st.integers(1, 5),
    n=st.integers(1, 6),
    chunk=st.integers(1, 40),
    seed=st.integers(0, 2**31),
)
def test_agrees_for_any_shape(length, batch, h, p, n, chunk, seed):
    torch.manual_seed(seed)
    inputs = draw(length, batch=batch, h=h, p=p, n=n)
    assert_agrees(lambda *t: ssd(*t, chunk=chunk), inputs)


def test_gradcheck_with_state_in_and_out():
    torch.manual_seed(0)
    inputs = draw(7, batch=2, p=2, n=3)
    assert torch.autograd.gradcheck(lambda *t: ssd(*t, chunk=3), inputs)


def test_no_time_leaves_the_state_as_it_is():
    inputs = draw(0)
    y, final = ssd(*inputs)
    assert y.shape == (3, 0, 2, 4)
    assert torch.equal(final, inputs[-1])


def test_without_a_state_it_starts_from_zero():
    inputs = draw(60)
    for function in (ssd, ssd_recurrence):
        silent = function(*inputs[:5])
        zero = function(*inputs[:5], torch.zeros_like(inputs[5]))
        assert all(torch.equal(a, b) for a, b in zip(silent, zero, strict=True))


def test_only_the_final_state_is_used():
    inputs = draw(60)
    (found,) = torch.autograd.grad(ssd(*inputs)[1].sum(), inputs[0])
    (expected,) = torch.autograd.grad(ssd_recurrence(*inputs)[1].sum(), inputs[0])
    torch.testing.assert_close(found, expected)


def test_float32_stays_close_to_float64():
    torch.manual_seed(0)
    inputs = draw(200, step=0.1)
    single = [t.detach().float().requires_grad_() for t in inputs]
    weights = tuple(torch.randn_like(o) for o in ssd_recurrence(*inputs))
    expected = results(ssd_recurrence, inputs, weights)
    found = results(ssd, single, tuple(w.float() for w in weights))
    for name, one, other in zip(NAMES, found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 1e-5 * other.norm(), name


def test_views_of_one_projection_are_fine():
    wide = torch.randn(2, 60, 2 * 4 + 2 * 5, dtype=torch.float64)
    x, B, C = wide.split([8, 5, 5], dim=-1)
    dt, A = torch.rand(2, 60, 2, dtype=torch.float64), -torch.ones(2, dtype=torch.float64)
    views = (x.unflatten(-1, (2, 4)), dt, A, B, C)
    torch.testing.assert_close(ssd(*views)[0], ssd_recurrence(*views)[0])


class TestContract:
    @pytest.fixture
    def part(self):
        torch.manual_seed(3)
        A = torch.tensor([-0.2, -3.0], dtype=torch.float64)

        def step(x, state):
            x_, dt, B, C = (t.transpose(0, 1) for t in x)  # (batch, time, ...)
            y, state = ssd(x_, torch.exp(0.1 * dt) * 0.1, A, B, C, state)
            return y.transpose(0, 1), state

        shapes = ((150, 2, 2, 4), (150, 2, 2), (150, 2, 5), (150, 2, 5))
        x = tuple(torch.randn(s, dtype=torch.float64) for s in shapes)
        return step, x

    @staticmethod
    def initial_state(batch=2):
        return torch.zeros(batch, 2, 4, 5, dtype=torch.float64)

    def test_chunks_future_and_state(self, part):
        step, x = part
        check_causal_part(
            step, self.initial_state, x, rng=np.random.default_rng(0), rtol=1e-10, atol=1e-12
        )

    def test_rows(self, part):
        step, x = part
        rng = np.random.default_rng(0)
        check_rows_independent(step, self.initial_state, x, rng=rng, batch_axis=1)

    def test_gradients(self, part):
        step, x = part
        rng = np.random.default_rng(0)
        check_gradients(
            step, self.initial_state, x, [], rng=rng, time_axis=0, rtol=1e-8, atol=1e-10
        )


def test_wrong_shapes_are_named():
    x, dt, A, B, C, state = draw(10)
    with pytest.raises(ValueError, match=r"expected dt of shape \(3, 10, 2\)"):
        ssd(x, dt[:, 1:], A, B, C)
    with pytest.raises(ValueError, match="expected initial_state of shape"):
        ssd(x, dt, A, B, C, state[:1])
    with pytest.raises(ValueError, match="expected x of shape"):
        ssd(x[0], dt, A, B, C)
