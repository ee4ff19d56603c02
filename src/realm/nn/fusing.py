"""Where compiled loops take the place of functions of torch: long chunks on one thread of a CPU.

They need numba. Where it is absent, or has nowhere to keep compiled code, that is said once and
torch computes the same.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from realm.signal.engine import without_numba

# From this many bins on, compiled loops are worth their set-up.
FUSED_LENGTH = 16


def can_fuse(x: Tensor, shortest: int = 0) -> bool:
    """Whether x (batch, time, d) is for compiled loops, which have one thread.

    `shortest` is the least time that the loops can take.
    """
    return (
        x.device.type == "cpu"
        and x.shape[1] >= max(FUSED_LENGTH, shortest)
        and x.dtype in (torch.float32, torch.float64)
        and torch.get_num_threads() == 1
        and not torch.is_autocast_enabled("cpu")
    )


@cache
def compiled_part(module: str, name: str) -> Any:
    """A function of a module of `realm.nn.compiled`, None where numba cannot be used."""
    try:
        return getattr(import_module(f"realm.nn.compiled.{module}"), name)
    except (ImportError, RuntimeError) as error:  # absent, or nowhere to keep compiled code
        without_numba("auto", "layers are trained with torch alone", error)
        return None
