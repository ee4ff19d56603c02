"""The clock that all times of a live stream are on."""

from __future__ import annotations

import time


def now_s() -> float:
    """Seconds on the machine's monotonic clock.

    It never jumps and is shared by all processes of a machine. It is liblsl's clock too, so that
    LSL's time stamps need no conversion on Linux.
    """
    return time.monotonic()
