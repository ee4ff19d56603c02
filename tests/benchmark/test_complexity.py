"""Formulas of cost against what torch really multiplies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from realm.data.windows import Windows
from realm.methods.complexity import (
    kalman_complexity,
    patch_transformer_complexity,
    ridge_complexity,
    student_complexity,
    teacher_complexity,
)
from realm.methods.kalman import KalmanDecoder
from realm.methods.kalman_fit import LAGS_MS
from realm.methods.ridge import RidgeDecoder
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.encoders import EncoderSettings
from realm.nn.patch_transformer import PatchTransformer
from realm.nn.recurrent import GRUSettings, LSTMSettings
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.nn.transformer import TransformerSettings

SESSION = SessionInfo("day0", "sim", tuple("abcdef"), 3)
CONFIG = EncoderConfig(layers=2, d_model=64, d_state=16, headdim=32)
CONTEXT = 40
ENCODERS: dict[str, EncoderSettings] = {
    "mamba": CONFIG,
    "gru": GRUSettings(d_model=64, layers=2),
    "lstm": LSTMSettings(d_model=64, layers=1),
    "transformer": TransformerSettings(d_model=64, context_bins=CONTEXT),
}
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


class Multiplications(TorchDispatchMode):
    """Count multiplications of matrix products and of products of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = self.vector = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        name = function.__name__.split(".")[0].rstrip("_")
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        if name in PRODUCTS:
            self.matrix += output.numel() * tensors[-1].shape[-2]
        elif "scaled_dot_product" in name:
            query, key, value = tensors[:3]
            self.matrix += query.shape[:-1].numel() * key.shape[-2] * 2 * value.shape[-1]
        elif name in ("mul", "addcmul", "mkldnn_rnn_layer") and len(tensors) > 1:
            self.vector += output.numel()
        return output


def windows(time: int) -> Windows:
    features = torch.randn(1, time, 6, 3)
    none = torch.zeros(1, time, 2), torch.ones(1, time, dtype=torch.bool)
    return Windows("day0", features, *none, torch.zeros(1), torch.zeros(1))


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("name", ENCODERS)
def test_a_step_of_one_bin_multiplies_as_often_as_the_formula_says(name: str) -> None:
    student = Student(ENCODERS[name], [SESSION], 2).eval()
    expected, state = student_complexity(student, "day0"), student.initial_state(1)
    with torch.no_grad():
        _, state = student.step(torch.randn(1, CONTEXT, 6, 3), state, "day0")  # fills the context
        with torch.backends.mkldnn.flags(enabled=False), Multiplications() as counted:
            _, state = student.step(torch.randn(1, 1, 6, 3), state, "day0")
    assert expected.macs_per_bin == pytest.approx(counted.matrix + counted.vector, rel=0.06)
    assert expected.macs_per_bin >= counted.matrix
    remembered = 4 * sum(t.numel() for t in torch.utils._pytree.tree_leaves(state))
    assert expected.state_bytes == remembered


def test_the_teacher_multiplies_about_as_the_recurrence_would() -> None:
    teacher = Teacher(CONFIG, [SESSION], 2).eval()
    expected = teacher_complexity(teacher, "day0")
    assert expected.state_bytes is None
    linear = sum(
        m.weight.numel() for m in teacher.encoder.modules() if isinstance(m, torch.nn.Linear)
    )
    assert linear < expected.macs_per_bin < 1.35 * linear
    student = student_complexity(Student(CONFIG, [SESSION], 2), "day0")
    assert 1.9 * student.macs_per_bin < expected.macs_per_bin < 2 * student.macs_per_bin
    more = teacher_complexity(teacher, "day0", readout=1000).macs_per_bin - expected.macs_per_bin
    assert more == 1000 - 2 * 64


def test_the_masked_transformer_multiplies_as_often_as_the_formula_says() -> None:
    network = PatchTransformer([SESSION], 30, d_model=64, layers=2, headdim=32, patch_channels=3)
    expected = patch_transformer_complexity(network.eval(), "day0", dims=2)
    with torch.no_grad(), Multiplications() as counted:
        network.encode([windows(30)])
    probe, read = 2 * 64 * 2, 3
    counted_per_bin = read * counted.matrix / 30 + probe
    assert expected.macs_per_bin == pytest.approx(counted_per_bin, rel=0.02)


def test_the_linear_decoders_multiply_and_remember_as_the_formulas_say() -> None:
    rng, bin_ms = np.random.default_rng(0), 20.0
    features, behavior = rng.normal(size=(800, 4, 2)), rng.normal(size=(800, 2))
    spans = {"train": (0, 500), "valid": (500, 800)}
    known = np.ones(800, bool)
    ridge = RidgeDecoder(bin_ms, 0.2).fit(features, behavior, known, **spans)
    expected = ridge_complexity(8, 2, 10)
    assert expected.macs_per_bin == ridge.weights.size
    assert expected.state_bytes == ridge.initial_state().past.nbytes
    kalman = KalmanDecoder(bin_ms, 0.2).fit(features, behavior, known, **spans)
    latest = math.ceil(max(LAGS_MS) / bin_ms)
    ours = kalman_complexity(kalman.parameters, 8, 2, 10, latest)
    assert ours.macs_per_bin == kalman.keep.size + kalman.gain.size + kalman.readout.size
    held = kalman.initial_state()
    assert ours.state_bytes is not None
    assert ours.state_bytes >= held.estimate.nbytes + held.past.nbytes
