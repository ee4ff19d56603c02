"""Functions of one number that the loops have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import overload

from realm.compiling import ANY_ORDER, jitable
from realm.streaming.fused import exp as exp_float32


def exp(x: Any) -> Any:
    """e^x in the precision of x; only for compiled code."""
    raise NotImplementedError("expected a call from compiled code")


@overload(exp, jit_options={"fastmath": ANY_ORDER, "error_model": "numpy"})
def _exp(x: Any) -> Callable[[Any], Any]:
    return _exp_single if x is types.float32 else _exp_double


def _exp_single(x: Any) -> Any:
    return exp_float32(x)


def _exp_double(x: Any) -> Any:
    return math.exp(x)


@jitable
def logistic(x: Any, one: Any) -> Any:
    """1 / (1 + e^-x); `one` is 1 in the precision of x."""
    return one / (one + exp(-x))
