"""What a sink of decoded behavior is: it opens, takes rows, and closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Counters = Callable[[], dict[str, Any]]


class OutputInfo(NamedTuple):
    """What will be written."""

    session_id: str
    behavior_names: tuple[str, ...]
    behavior_unit: str
    channel_names: tuple[str, ...]
    bin_ms: float
    lookahead_ms: float
    bundle_sha256: str


class Outputs(NamedTuple):
    """Decoded bins, one row each; `behavior` is always finite.

    Times are seconds on the clock of `now_s`. `held` and `neutral` rows were not decoded.
    """

    bin: NDArray[np.int64]  # (bins,) index of the decoded bin since the stream began
    time_s: NDArray[np.float64]  # (bins,) end of the bin: when its last sample was taken
    behavior: NDArray[Any]  # (bins, dims)
    latency_ms: NDArray[np.float64]  # (bins,) from the last sample waited for to this output
    filled_share: NDArray[np.float64]  # (bins,) share of replaced samples over usable channels
    bad_channels: NDArray[np.int64]  # (bins,)
    clipped_channels: NDArray[np.int64]  # (bins,)
    gap: Flags  # (bins,) no sample of any usable channel could be used
    neutral: Flags  # (bins,) the declared neutral value
    held: Flags  # (bins,) the value before it, because samples are late
    filled: NDArray[np.float64]  # (bins, channels) share of samples that were replaced
    truth: NDArray[Any] | None = None  # (bins, dims) true behavior, NaN = unknown (replay)


class Sink(Protocol):
    """Where decoded behavior goes. Each sink is served by a thread of its own.

    Unless it has an attribute `immediate` that is true: its `write` never waits for anything, and
    the thread that decodes calls it. Then rows do not wait for a thread to wake.
    """

    def open(self, info: OutputInfo) -> None:
        """Make ready.

        Raises:
            OSError, ValueError: it cannot be used; the message says what to do.
        """
        ...

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Take some rows; `status` gives the counters as they stand, and takes time to do so.

        Raises:
            OSError: they could not be written; they are counted, and the next call may succeed.
        """
        ...

    def close(self) -> None:
        """Flush and let go; harmless when closed."""
        ...
