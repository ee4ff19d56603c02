"""The published student on the rig: its step in numpy is the one in torch, and it is checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import check_causal_part

from realm.decoder.bundling import _weights
from realm.nn.adapters import SessionInfo
from realm.nn.published.encoder import PublishedSettings
from realm.nn.student import Student
from realm.streaming.encoders import sizes_of
from realm.streaming.published import PublishedSizes
from realm.streaming.runtime import make_student

NAMES = tuple("abcd")
SESSION = SessionInfo("day1", "rat", NAMES, 1)
SETTINGS = PublishedSettings(
    channels=7, layers=2, d_model=16, d_state=6, headdim=8, d_channel=3, mean_bins=50, skip=True
)


def made(settings: PublishedSettings = SETTINGS, dims: int = 2):
    """A student, and the sizes and weights of its bundle."""
    torch.manual_seed(3)
    student = Student(settings, [SESSION], dims).double().eval()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    student.set_behavior_scale(
        "day1", torch.tensor([0.5, -1.0][:dims]), torch.tensor([2.0, 3.0][:dims])
    )
    kind = sizes_of("published")
    sizes = kind(len(NAMES), dims, **{n: getattr(settings, n) for n in kind.setting_names()})
    return student, sizes, _weights(student, "published", "day1")


def test_the_step_is_that_of_the_trained_network() -> None:
    for settings in (SETTINGS, SETTINGS.model_copy(update={"skip": False})):
        student, sizes, weights = made(settings)
        x = np.random.default_rng(0).normal(size=(160, 4))
        with torch.no_grad():
            output, _ = student.step(
                torch.from_numpy(x)[None, ..., None], student.initial_state(1), "day1"
            )
            expected = student.to_units(output.behavior, "day1")[0].numpy()
        exact = make_student(weights, sizes, "float64", plain=True)
        found, _ = exact.step(x, exact.initial_state())
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
        fast = make_student(weights, sizes)
        found, _ = fast.step(x, fast.initial_state())
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("plain", [True, False])
def test_the_contract_on_the_rig_to_the_bit(plain: bool) -> None:
    _, sizes, weights = made()
    part = make_student(weights, sizes, plain=plain)
    check_causal_part(
        part.step,
        part.initial_state,
        np.random.default_rng(1).normal(size=(130, 4)).astype(np.float32),
        rng=np.random.default_rng(0),
        rtol=0,
        atol=0,
    )


def test_sizes_that_do_not_fit_are_named() -> None:
    _, sizes, weights = made()
    settings = sizes.settings
    with pytest.raises(ValueError, match=r"even d_state"):
        PublishedSizes(4, 2, **settings | {"d_state": 5})
    with pytest.raises(ValueError, match=r"at most 7 features"):
        PublishedSizes(8, 2, **settings)
    with pytest.raises(ValueError, match=r"mean_bins.*whole number"):
        PublishedSizes(4, 2, **settings | {"mean_bins": 0})
    lacking = {n: a for n, a in weights.items() if n != "mixers.1.A_log"}
    with pytest.raises(ValueError, match=r"mixers\.1\.A_log is missing"):
        make_student(lacking, sizes)
