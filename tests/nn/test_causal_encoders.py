"""Every causal network is held to the one contract, in both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import check_causal_part, check_gradients, check_rows_independent
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import BANDS, MONDAY, OTHER, SMALL, TUESDAY

from realm.nn.encoder import CausalEncoder
from realm.nn.mamba2 import Mamba2
from realm.nn.recurrent import GRUEncoder, GRUSettings
from realm.nn.student import Student

SESSIONS = [MONDAY, TUESDAY, OTHER]


class StudentOfMonday:
    """A student bound to one session: features to everything it puts out."""

    def __init__(self, student: Student) -> None:
        self.student, self.initial_state = student, student.initial_state
        self.parameters = student.parameters

    def step(self, x, state):
        return self.student.step(x, state, MONDAY.session_id)


def make(name: str, dtype: torch.dtype):
    torch.manual_seed(5)
    if name == "student":
        part = Student(SMALL, SESSIONS, 2)
    elif name == "student with a GRU":
        part = Student(GRUSettings(d_model=16), SESSIONS, 2)
    elif name == "mamba2":
        part = Mamba2(16, d_state=8, headdim=8)
    elif name == "encoder":
        part = CausalEncoder(SMALL)
    else:
        part = GRUEncoder(16, layers=2)
    part = part.to(dtype)
    with torch.no_grad():  # no parameter at a special value
        for parameter in part.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return StudentOfMonday(part) if isinstance(part, Student) else part


def draw_input(name: str, batch: int, time: int, dtype: torch.dtype) -> torch.Tensor:
    shape = (3, BANDS) if name.startswith("student") else (16,)
    return torch.randn(batch, time, *shape, dtype=dtype)


PARTS = ["mamba2", "encoder", "gru", "student", "student with a GRU"]
TOLERANCE = {torch.float64: (1e-9, 1e-11), torch.float32: (1e-3, 2e-5)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", PARTS)
class TestContract:
    def test_chunks_future_and_state(self, name, dtype):
        part, (rtol, atol) = make(name, dtype), TOLERANCE[dtype]
        check_causal_part(
            part.step,
            lambda: part.initial_state(2, dtype),
            draw_input(name, 2, 130, dtype),
            rng=np.random.default_rng(0),
            rtol=rtol,
            atol=atol,
            time_axis=1,
        )

    def test_rows_do_not_see_each_other(self, name, dtype):
        part, (rtol, atol) = make(name, dtype), TOLERANCE[dtype]
        check_rows_independent(
            part.step,
            lambda batch: part.initial_state(batch, dtype),
            draw_input(name, 3, 60, dtype),
            rng=np.random.default_rng(0),
            rtol=rtol,
            atol=atol,
        )


@pytest.mark.parametrize("name", PARTS)
def test_gradients_through_chunks(name):
    part = make(name, torch.float64)
    check_gradients(
        part.step,
        lambda: part.initial_state(2, torch.float64),
        draw_input(name, 2, 70, torch.float64),
        list(part.parameters()),
        rng=np.random.default_rng(0),
        rtol=1e-7,
        atol=1e-9,
    )


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), max_size=8), seed=st.integers(0, 2**31))
def test_student_over_random_chunkings(sizes, seed):
    part = make("student", torch.float64)
    x = draw_input("student", 2, sum(sizes), torch.float64)
    if not sum(sizes):
        return
    check_causal_part(
        part.step,
        lambda: part.initial_state(2, torch.float64),
        x,
        rng=np.random.default_rng(seed),
        rtol=1e-9,
        atol=1e-11,
        time_axis=1,
        chunkings=[sizes],
    )


@pytest.mark.parametrize("name", ["mamba2", "encoder", "gru"])
def test_forward_is_the_step_from_silence(name):
    part = make(name, torch.float32)
    x = draw_input(name, 2, 30, torch.float32)
    assert torch.equal(part(x), part.step(x, part.initial_state(2))[0])
    assert part(x[:, :0]).shape == (2, 0, 16)
