"""Choosing how the student is computed: compiled or plain numpy, double or single precision."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from realm.compiling import load_compiled
from realm.streaming.packed import pack
from realm.streaming.student import PlainStudent
from realm.streaming.weights import StudentSizes, Weights, check_weights

Precision = Literal["float32", "float64"]


def make_student(
    weights: Weights,
    sizes: StudentSizes,
    precision: Precision = "float32",
    plain: bool = False,
) -> PlainStudent:
    """The student's step for these weights.

    Args:
        weights, sizes: as `weights.py` describes them.
        precision: "float32" for the rig, "float64" for exact comparisons, in numpy.
        plain: compute the definition in numpy. Otherwise the compiled loop computes float32 where
            numba can be used; the results are the same to rounding, the time is not.

    Raises:
        ValueError: the weights do not fit.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision: expected {' or '.join(get_args(Precision))}, got {precision!r}; choose one"
        )
    check_weights(weights, sizes)
    packed = pack(weights, sizes, np.float32 if precision == "float32" else np.float64)
    if plain or precision == "float64":
        return PlainStudent(packed)
    student: Any = load_compiled("realm.streaming.fused", "FusedStudent") or PlainStudent
    made: PlainStudent = student(packed)
    return made
