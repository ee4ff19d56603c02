"""The recurrent and the attending baseline: the causal contract, and what the attention sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import check_causal_part, check_gradients, check_rows_independent
from nn_cases import BANDS, MONDAY, OTHER, TUESDAY

from realm.nn.recurrent import LSTMEncoder, LSTMSettings
from realm.nn.student import Student
from realm.nn.transformer import CausalTransformerEncoder, TransformerSettings

WIDTH = 16
PARTS = {
    "lstm": lambda: LSTMEncoder(WIDTH, layers=2),
    "transformer": lambda: CausalTransformerEncoder(WIDTH, 2, context_bins=20, headdim=8),
    "short context": lambda: CausalTransformerEncoder(WIDTH, 2, context_bins=1, headdim=8),
    "long context": lambda: CausalTransformerEncoder(WIDTH, 1, context_bins=500, headdim=16),
}
TOLERANCE = {torch.float64: (1e-9, 1e-11), torch.float32: (1e-3, 2e-5)}


def make(name: str, dtype: torch.dtype = torch.float64):
    torch.manual_seed(5)
    part = PARTS[name]().to(dtype)
    with torch.no_grad():  # no parameter at a special value
        for parameter in part.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return part


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", PARTS)
class TestContract:
    def test_chunks_future_and_state(self, name, dtype):
        part, (rtol, atol) = make(name, dtype), TOLERANCE[dtype]
        check_causal_part(
            part.step,
            lambda: part.initial_state(2, dtype),
            torch.randn(2, 80, WIDTH, dtype=dtype),
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
            torch.randn(3, 60, WIDTH, dtype=dtype),
            rng=np.random.default_rng(0),
            rtol=rtol,
            atol=atol,
        )


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_gradients_through_chunks(name):
    part = make(name)
    check_gradients(
        part.step,
        lambda: part.initial_state(2, torch.float64),
        torch.randn(2, 50, WIDTH, dtype=torch.float64),
        list(part.parameters()),
        rng=np.random.default_rng(0),
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.parametrize("name", PARTS)
def test_forward_is_the_step_from_silence(name):
    part = make(name)
    x = torch.randn(2, 30, WIDTH, dtype=torch.float64)
    assert part(x).shape == x.shape
    assert torch.equal(part(x), part.step(x, part.initial_state(2, torch.float64))[0])
    assert part(x[:, :0]).shape == (2, 0, WIDTH)


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_student_can_carry_them(name):
    settings = {
        "lstm": LSTMSettings(d_model=WIDTH, layers=2),
        "transformer": TransformerSettings(d_model=WIDTH, headdim=8, context_bins=20),
    }
    torch.manual_seed(0)
    student = Student(settings[name], [MONDAY, TUESDAY, OTHER], 2)
    x = torch.randn(2, 50, 3, BANDS)
    check_causal_part(
        lambda features, state: student.step(features, state, MONDAY.session_id),
        lambda: student.initial_state(2),
        x,
        rng=np.random.default_rng(1),
        rtol=1e-3,
        atol=2e-5,
        time_axis=1,
    )


def test_the_attention_reaches_back_its_context_in_every_layer():
    part = CausalTransformerEncoder(WIDTH, 1, context_bins=7, headdim=8).double()
    x = torch.randn(1, 40, WIDTH, dtype=torch.float64, requires_grad=True)
    part(x)[0, 30].sum().backward()
    seen = x.grad.abs().sum(-1)[0] > 0
    assert torch.nonzero(seen).flatten().tolist() == list(range(24, 31))
    deep = CausalTransformerEncoder(WIDTH, 3, context_bins=7, headdim=8).double()
    x.grad = None
    deep(x)[0, 30].sum().backward()
    assert torch.nonzero(x.grad.abs().sum(-1)[0]).flatten().min() == 30 - 3 * 6


def test_only_distance_counts_however_long_the_stream():
    """The same bins after another past, as soon as that past is out of reach."""
    part = make("transformer")
    x = torch.randn(1, 100, WIDTH, dtype=torch.float64)
    before = torch.randn(1, 457, WIDTH, dtype=torch.float64)
    late = part(torch.cat((before, x), 1))[:, -50:]
    torch.testing.assert_close(late, part(x)[:, -50:], rtol=1e-9, atol=1e-11)


def test_long_chunks_are_attended_in_blocks_without_a_seam():
    part = make("transformer")
    x = torch.randn(1, 600, WIDTH, dtype=torch.float64)
    _, state = part.step(x, part.initial_state(1, torch.float64))
    assert {tensor.shape[2] for layer in state.layers for tensor in layer} == {19}
    torch.testing.assert_close(part(x)[:, 240:280], part(x[:, 200:280])[:, 40:], rtol=0, atol=1e-11)


def test_one_layer_is_the_attention_written_out():
    part = CausalTransformerEncoder(WIDTH, 1, context_bins=5, headdim=WIDTH).double()
    block, time = part.blocks[0], 12
    x = torch.randn(1, time, WIDTH, dtype=torch.float64)
    queries, keys, values = block.to_queries_keys_values(block.attention_norm(x))[0].chunk(3, -1)
    turn = 5.0 ** -(torch.arange(WIDTH // 2).double() / (WIDTH // 2))  # angle per bin

    def as_complex(rows):
        return torch.complex(rows[:, : WIDTH // 2], rows[:, WIDTH // 2 :])

    mixed = []
    for k in range(time):
        reach = range(max(0, k - 4), k + 1)
        scores = []
        for j in reach:
            turned = torch.exp(1j * (k - j) * turn)
            scores.append((as_complex(queries)[k] * as_complex(keys)[j].conj() * turned).real.sum())
        shares = F.softmax(torch.stack(scores) / WIDTH**0.5, dim=0)
        mixed.append(shares @ values[reach.start : reach.stop])
    y = x + block.attended(torch.stack(mixed))[None]
    torch.testing.assert_close(part(x), y + block.feed_forward(y), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sizes", [(16, 5, 8), (16, 10, 12), (15, 10, 15), (16, 0, 8)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    d_model, context_bins, headdim = sizes
    if sizes == (16, 5, 8):
        assert CausalTransformerEncoder(d_model, 1, context_bins, headdim).d_model == 16
        return
    with pytest.raises(ValueError, match="multiple of an even headdim"):
        CausalTransformerEncoder(d_model, 1, context_bins, headdim)
