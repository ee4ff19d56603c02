"""Choosing how the student is computed: numpy or compiled, double or single precision."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from realm.signal.engine import Engine, without_numba
from realm.streaming.packed import pack
from realm.streaming.student import PlainStudent
from realm.streaming.weights import StudentSizes, Weights, check_weights

Precision = Literal["float32", "float64"]


def make_student(
    weights: Weights,
    sizes: StudentSizes,
    precision: Precision = "float32",
    engine: Engine = "auto",
) -> PlainStudent:
    """The student's step for these weights.

    Args:
        weights, sizes: as `weights.py` describes them.
        precision: "float32" for the rig, "float64" for exact comparisons (numpy only).
        engine: "auto" takes numba for float32 and falls back to numpy, with a warning, where numba
            cannot be used; the results are the same to rounding, the time is not.

    Raises:
        ValueError: the weights do not fit, or numba was asked for and cannot be used.
    """
    if precision not in get_args(Precision) or engine not in get_args(Engine):
        raise ValueError(
            f"expected precision {' or '.join(get_args(Precision))} and engine "
            f"{', '.join(get_args(Engine))}, got {precision!r} and {engine!r}; choose one of each"
        )
    check_weights(weights, sizes)
    packed = pack(weights, sizes, np.float32 if precision == "float32" else np.float64)
    if engine == "numpy" or (engine == "auto" and precision == "float64"):
        return PlainStudent(packed)
    if precision == "float64":
        raise ValueError(
            "expected float32 with engine 'numba', got float64; the compiled step is in single "
            "precision, use engine 'numpy'"
        )
    try:
        from realm.streaming.fused import FusedStudent
    except (ImportError, RuntimeError) as error:  # absent, or nowhere to keep compiled code
        without_numba(engine, "decoding with numpy", error)
        return PlainStudent(packed)
    return FusedStudent(packed)
