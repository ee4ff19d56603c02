"""The columns of a log of decoded bins, the same in every kind of file.

| column | holds |
| --- | --- |
| `bin`, `time_s` | index of the bin since the stream began, and its end on the clock of `now_s` |
| one per dim of behavior | what was decoded, in the bundle's unit |
| `latency_ms` | from the last sample waited for to the output |
| `filled_share`, `bad_channels`, `clipped_channels` | of the channels that are usable |
| `gap`, `neutral`, `held` | flags: nothing heard; the neutral value; the value before it |
| `true_` and the dim | true behavior, in a replay; missing where unknown |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.live.sink import OutputInfo, Outputs

BEFORE = ("bin", "time_s")
AFTER = (
    "latency_ms",
    "filled_share",
    "bad_channels",
    "clipped_channels",
    "gap",
    "neutral",
    "held",
)
TRUE = "true_"


def column_names(info: OutputInfo) -> tuple[str, ...]:
    """Names of the columns, in order.

    Raises:
        ValueError: a dim of behavior is named like another column.
    """
    dims = info.behavior_names
    names = (*BEFORE, *dims, *AFTER, *(TRUE + name for name in dims))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"log: expected behavior named unlike the other columns, got {', '.join(twice)} twice; "
            "name it otherwise in the recording and bundle again"
        )
    return names


def columns(info: OutputInfo, outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Name and values of each column; true behavior that is not known is NaN."""
    behavior = np.asarray(outputs.behavior, np.float64)
    truth = np.full_like(behavior, np.nan) if outputs.truth is None else outputs.truth
    values = [
        outputs.bin,
        outputs.time_s,
        *behavior.T,
        outputs.latency_ms,
        outputs.filled_share,
        outputs.bad_channels,
        outputs.clipped_channels,
        outputs.gap,
        outputs.neutral,
        outputs.held,
        *np.asarray(truth, np.float64).T,
    ]
    return dict(zip(column_names(info), values, strict=True))
