"""Where compiled loops take the place of functions of torch: long chunks on one thread of a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from realm.compiling import load_compiled, runs_plain

# From this many bins on, compiled loops are worth their set-up.
FUSED_LENGTH = 16
# What can be compiled: a function, beside the `example` of its module.
PARTS = {"mixer": "fused_mixer", "rms": "fused_rms_norm", "gru": "fused_gru_layer"}


def fused(part: str, x: Tensor, shortest: int = 0) -> Any:
    """The compiled function of one of `PARTS` for x (batch, time, d); None where torch computes it.

    `shortest` is the least time that the function can take.
    """
    fits = (
        x.device.type == "cpu"
        and x.shape[1] >= max(FUSED_LENGTH, shortest)
        and x.dtype in (torch.float32, torch.float64)
        and torch.get_num_threads() == 1
        and not torch.is_autocast_enabled("cpu")
    )
    return tried(part, x.dtype, torch.is_grad_enabled()) if fits else None


@cache
def tried(part: str, dtype: torch.dtype, backward: bool) -> Any:
    """The compiled function of a part, None if it fails on its module's example.

    The first try compiles everything that a run needs, so that what cannot be compiled is known
    before a gradient depends on it.
    """
    function, example = (
        load_compiled(f"realm.nn.compiled.{part}", name) for name in (PARTS[part], "example")
    )
    if function is None:
        return None
    try:
        given = example(dtype, backward)
        out = function(*given)
        if backward:
            (out[0] if isinstance(out, tuple) else out).sum().backward()
    except Exception as error:
        runs_plain(error)
        return None
    return function
