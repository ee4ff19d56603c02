"""Choosing how the student is computed: compiled or plain numpy, double or single precision.

A student with an encoder of another package is computed by that package's step of one bin.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np

from realm.compiling import load_compiled
from realm.streaming.encoders import BinStep, find_encoder
from realm.streaming.packed import pack, rounded
from realm.streaming.student import PlainStudent
from realm.streaming.weights import Reals, Sizes, StudentSizes, Weights, check_weights

Precision = Literal["float32", "float64"]


class RigStudent(Protocol):
    """Features (bins, F) to behavior (bins, D) in its units, chunk by chunk."""

    engine: str

    def initial_state(self) -> Any:
        """Return the state of silence before the first bin."""

    def step(self, features: Reals, state: Any) -> tuple[Reals, Any]:
        """Decode a chunk of any number of bins; rows that are not finite are NaN throughout."""


class BinByBin:
    """A `RigStudent` that takes the step of one bin after the other, whatever the chunk."""

    engine = "numpy"

    def __init__(self, step: BinStep, dims: int, dtype: type[np.floating]) -> None:
        self._step, self._dims, self._dtype = step, dims, dtype

    def initial_state(self) -> Any:
        """Return the state before the first bin."""
        return self._step.initial_state()

    def step(self, features: Reals, state: Any) -> tuple[Reals, Any]:
        """Decode a chunk; a row that is not finite becomes NaN and the state begins anew."""
        out = np.empty((len(features), self._dims), self._dtype)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for row, bin_ in zip(out, features.astype(self._dtype), strict=True):
                row[:], state = self._step.step(bin_, state)
                if not np.isfinite(row).all():
                    row[:] = np.nan
                    state = self._step.initial_state()
        return out, state


def make_student(
    weights: Weights,
    sizes: Sizes,
    precision: Precision = "float32",
    plain: bool = False,
) -> RigStudent:
    """The student's step for these weights.

    Args:
        weights, sizes: as `weights.py` describes them.
        precision: "float32" for the rig, "float64" for exact comparisons, in numpy.
        plain: compute the definition in numpy. Otherwise the compiled loop computes float32 where
            numba can be used; the results are the same to rounding, the time is not. An
            encoder of another package runs in numpy whatever is said here.

    Raises:
        ValueError: the weights do not fit.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision: expected {' or '.join(get_args(Precision))}, got {precision!r}; choose one"
        )
    check_weights(weights, sizes)
    dtype = np.float32 if precision == "float32" else np.float64
    if not isinstance(sizes, StudentSizes):
        return _student_of_other(weights, sizes, dtype)
    packed = pack(weights, sizes, dtype)
    if plain or precision == "float64":
        return PlainStudent(packed)
    student: Any = load_compiled("realm.streaming.fused", "FusedStudent") or PlainStudent
    made: PlainStudent = student(packed)
    return made


def _student_of_other(weights: Weights, sizes: Sizes, dtype: type[np.floating]) -> RigStudent:
    make = find_encoder(sizes.kind).step
    if make is None:
        raise ValueError(
            f"encoder {sizes.kind!r}: expected a step for the rig, it has none; correct the "
            "package that adds it"
        )
    arrays = {name: rounded(array, dtype) for name, array in weights.items()}
    return BinByBin(make(arrays, sizes), sizes.behavior, dtype)
