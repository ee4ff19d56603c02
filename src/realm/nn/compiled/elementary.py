"""What the loops have in common: how they are compiled, and functions of one number.

Loops are compiled for the types they meet, float32 in training and float64 in tests, and kept in
numba's cache. Arrays are C-contiguous: rows of channels compile to vector instructions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import overload, register_jitable

from realm import compiling
from realm.streaming.fused import FAST
from realm.streaming.fused import exp as exp_float32

compiled = compiling.compiled(fastmath=FAST)


def exp(x: Any) -> Any:
    """e^x in the precision of x; only for compiled code."""
    raise NotImplementedError("expected a call from compiled code")


@overload(exp, jit_options={"fastmath": FAST, "error_model": "numpy"})
def _exp(x: Any) -> Callable[[Any], Any]:
    return _exp_single if x is types.float32 else _exp_double


def _exp_single(x: Any) -> Any:
    return exp_float32(x)


def _exp_double(x: Any) -> Any:
    return math.exp(x)


@register_jitable(fastmath=FAST)
def logistic(x: Any, one: Any) -> Any:
    """1 / (1 + e^-x); `one` is 1 in the precision of x."""
    return one / (one + exp(-x))
