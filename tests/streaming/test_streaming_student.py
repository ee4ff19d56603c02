"""The compiled student against the plain one, and what neither of them ever does."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys
from streaming_cases import weights

from realm.compiling import load_compiled
from realm.streaming.fused import exp
from realm.streaming.runtime import make_student
from realm.streaming.student import NEGLIGIBLE
from realm.streaming.weights import StudentSizes, check_weights

SIZES = [
    StudentSizes(24, 2, 2, 16, 8, 16, 2, 4),
    StudentSizes(7, 3, 1, 6, 1, 4, 2, 1),  # no memory in the convolution, one number of state
    StudentSizes(33, 1, 3, 24, 5, 3, 1, 2),
    StudentSizes(96, 2, 4, 32, 16, 96, 3, 6),  # one head
]
TOLERANCE = 2e-5  # of outputs with a deviation of about 1.6: float32 in another order of sums


@pytest.mark.parametrize("sizes", SIZES)
def test_single_precision_and_compiled_agree_with_double(sizes: StudentSizes) -> None:
    made, x = weights(sizes), np.random.default_rng(1).normal(size=(400, sizes.features))
    exact = make_student(made, sizes, "float64")
    expected, final = exact.step(x, exact.initial_state())
    for engine in ("numpy", "numba"):
        student = make_student(made, sizes, "float32", engine == "numpy")
        y, state = student.step(x, student.initial_state())
        assert y.dtype == np.float32
        assert student.engine == engine
        np.testing.assert_allclose(y, expected, rtol=TOLERANCE, atol=TOLERANCE)
        np.testing.assert_allclose(state.ssm, final.ssm, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", SIZES)
def test_sizes_know_their_tensors(sizes: StudentSizes) -> None:
    made = weights(sizes)
    check_weights(made, sizes)
    assert sizes.count == sum(array.size for array in made.values())


def test_the_exponential_is_good_to_float32() -> None:
    x = np.concatenate([np.linspace(-86, 87, 20001), [-1e9, -90.0, 0.0]]).astype(np.float32)
    found = np.array([exp(value) for value in x[::20]])
    np.testing.assert_allclose(found, np.exp(np.clip(x[::20], -87, 88)), rtol=1e-6)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_silence_never_leaves_denormal_numbers(engine: Any) -> None:
    """A fast decay lets the state fall through all magnitudes; below 1e-30 it is zero."""
    sizes = SIZES[0]
    made = weights(sizes)
    for layer in range(sizes.layers):
        made[f"layers.{layer}.dt.bias"][:] = 1.0
        made[f"layers.{layer}.xBC.weight"][:] = 0.0
        made[f"layers.{layer}.conv.bias"][:] = 0.0
        made[f"layers.{layer}.C_bias"][:] = 1.0
    student = make_student(made, sizes, "float32", engine == "numpy")
    state = student.initial_state()
    state.ssm[:] = 1.0
    for _ in range(200):
        _, state = student.step(np.zeros((5, sizes.features)), state)
        small = np.abs(state.ssm[state.ssm != 0])
        assert not len(small) or small.min() >= NEGLIGIBLE
    assert not state.ssm.any()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_an_overflow_gives_nan_once_and_starts_again(engine: Any) -> None:
    sizes = SIZES[0]
    student = make_student(weights(sizes), sizes, "float32", engine == "numpy")
    x = np.random.default_rng(2).normal(size=(30, sizes.features))
    x[10] = np.nan  # the signal chain never gives one
    y, state = student.step(x, student.initial_state())
    assert np.isnan(y[10]).all()
    assert np.isfinite(np.delete(y, 10, axis=0)).all()
    anew, same = student.step(x[11:], student.initial_state())
    np.testing.assert_array_equal(y[11:], anew)
    np.testing.assert_array_equal(state.ssm, same.ssm)


@pytest.mark.usefixtures("nothing_compiled")
def test_without_numba_numpy_decodes_and_a_note_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = SIZES[0]
    made, x = weights(sizes), np.random.default_rng(3).normal(size=(50, sizes.features))
    fused = make_student(made, sizes)
    expected, _ = fused.step(x, fused.initial_state())
    monkeypatch.setitem(sys.modules, "numba", None)
    for cached in [name for name in sys.modules if name.startswith("realm.streaming.fused")]:
        monkeypatch.delitem(sys.modules, cached)
    load_compiled.cache_clear()
    with pytest.warns(UserWarning, match="numba cannot be used"):
        plain = make_student(made, sizes)
    assert (fused.engine, plain.engine) == ("numba", "numpy")
    np.testing.assert_allclose(
        plain.step(x, plain.initial_state())[0], expected, rtol=TOLERANCE, atol=TOLERANCE
    )


def test_a_bin_allocates_nothing() -> None:
    """Handing the arrays over costs the same for one bin as for two hundred."""
    sizes = SIZES[0]
    student: Any = make_student(weights(sizes), sizes)
    x = np.random.default_rng(4).normal(size=(200, sizes.features)).astype(np.float32)
    state, scratch, out = student.initial_state(), student.scratch(), np.empty((200, 2), np.float32)

    def allocated(bins: int) -> int:
        _nrt_python.memsys_enable_stats()
        before = rtsys.get_allocation_stats().alloc
        student.advance(x[:bins], state, scratch, out[:bins])
        after = rtsys.get_allocation_stats().alloc
        _nrt_python.memsys_disable_stats()
        return int(after - before)

    assert allocated(200) == allocated(1) > 0


def test_advancing_in_place_is_the_step() -> None:
    sizes = SIZES[0]
    student: Any = make_student(weights(sizes), sizes)
    x = np.random.default_rng(4).normal(size=(20, sizes.features)).astype(np.float32)
    expected, after = student.step(x, student.initial_state())
    state, out = student.initial_state(), np.empty((20, 2), np.float32)
    student.advance(x, state, student.scratch(), out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(state.ssm, after.ssm)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": 0}, "d_model as a whole number"),
        ({"layers": True}, "layers as a whole number"),
        ({"d_state": 8.0}, "d_state as a whole number"),
        ({"headdim": 5}, "divides"),
        ({"d_model": 60_000, "headdim": 60_000, "layers": 50}, "at most"),
    ],
)
def test_sizes_that_make_no_sense(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudentSizes(**{**vars(SIZES[0]), **change})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("head.bias", np.array([np.nan, 0]), "finite"),
        ("head.bias", np.zeros(3), "shape"),
        ("head.bias", np.zeros(2, np.float32), "float64"),
        ("scale.std", np.array([1.0, 0.0]), "above zero"),
        ("other", np.zeros(2), "unknown"),
        ("A_log", None, "missing"),
        ("head.weight", np.full((2, 16), 1e300), "float32"),
    ],
)
def test_weights_that_do_not_fit_are_named(name: str, value: Any, said: str) -> None:
    made = weights(SIZES[0])
    if value is None:
        del made["layers.0.A_log"]
    else:
        made[name] = value
    with pytest.raises(ValueError, match=said):
        make_student(made, SIZES[0])


def test_choices_are_named() -> None:
    with pytest.raises(ValueError, match="float64"):
        make_student(weights(SIZES[0]), SIZES[0], "float16")  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_silent_stream_is_not_slower(engine: Any) -> None:
    """Denormal numbers would cost several times as much."""
    sizes = SIZES[0]
    student = make_student(weights(sizes), sizes, "float32", engine == "numpy")
    busy = np.random.default_rng(5).normal(size=(1500, sizes.features))
    state = student.step(busy, student.initial_state())[1]
    state = student.step(np.zeros_like(busy), state)[1]
    took = []
    for x in (busy, np.zeros_like(busy)) * 3:
        begun = time.perf_counter()
        student.step(x, state)
        took.append(time.perf_counter() - begun)
    assert min(took[1::2]) < 3 * min(took[::2])
