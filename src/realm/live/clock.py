"""The clock that all times of a live stream are on."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

OTHER_CLOCK_S = 60.0  # stamps this far from now are of another clock


def now_s() -> float:
    """Seconds on the machine's monotonic clock.

    It never jumps and is shared by all processes of a machine. It is liblsl's clock too, so that
    LSL's time stamps need no conversion on Linux.
    """
    return time.monotonic()


def check_clock(times_s: NDArray[np.float64], source: str) -> None:
    """The first time stamps of a stream are of the present, on this clock.

    Raises:
        ValueError: they are of another clock; the message begins with `source`.
    """
    known = times_s[np.isfinite(times_s)]
    behind_s = now_s() - float(known[-1]) if len(known) else 0.0
    if abs(behind_s) > OTHER_CLOCK_S:
        raise ValueError(
            f"{source}: expected times in seconds on CLOCK_MONOTONIC of this machine "
            f"(time.monotonic() in Python, local_clock() in LSL), these are {behind_s:.0f} s "
            "behind; correct the sender"
        )
