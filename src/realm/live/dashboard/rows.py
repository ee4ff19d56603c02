"""Decoded bins as the page draws them: few enough, and as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.live.sink import Outputs

MOST_ROWS = 200  # in one message; more are thinned
DIGITS = 6
HELD, NEUTRAL, GAP = 1, 2, 4  # bits of `flags`


def rows_message(parts: Sequence[Outputs], most: int = MOST_ROWS) -> dict[str, Any]:
    """Outputs, oldest first, as one entry of a message.

    Above `most` rows only the last of every `every` rows is kept, with the flags of all of them.
    """
    if not parts:
        return {"every": 1, "time_s": [], "behavior": [], "truth": None, "flags": []}
    time_s = np.concatenate([part.time_s for part in parts])
    every = max(1, math.ceil(len(time_s) / most))
    starts = np.arange(0, len(time_s), every)
    ends = np.minimum(starts + every, len(time_s)) - 1
    flags = np.concatenate([_flags(part) for part in parts])
    return {
        "every": every,
        "time_s": np.round(time_s[ends], 5).tolist(),
        "behavior": plain(np.concatenate([part.behavior for part in parts])[ends]),
        "truth": _truth(parts, ends),
        "flags": np.bitwise_or.reduceat(flags, starts).tolist() if len(flags) else [],
    }


def plain(values: NDArray[Any]) -> list[Any]:
    """Rows of numbers in `DIGITS` significant digits of the largest; None if not finite."""
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    largest = np.abs(values[finite]).max(initial=0.0)
    if largest > 0:
        values = np.round(values, int(DIGITS - 1 - math.floor(math.log10(largest))))
    if finite.all():
        return list(values.tolist())
    return list(np.where(finite, values, None).tolist())  # type: ignore[call-overload]


def _flags(outputs: Outputs) -> NDArray[np.int64]:
    return HELD * outputs.held + NEUTRAL * outputs.neutral + GAP * outputs.gap  # type: ignore[no-any-return]


def _truth(parts: Sequence[Outputs], rows: NDArray[np.int64]) -> list[Any] | None:
    if all(part.truth is None for part in parts):
        return None
    filled = [
        np.full(np.shape(part.behavior), np.nan) if part.truth is None else part.truth
        for part in parts
    ]
    return plain(np.concatenate(filled)[rows])
