"""The rows that sinks get: decoded ones, and those that the loop gives of its own accord."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.live.bins import Ended
from realm.live.sink import Outputs
from realm.streaming import Decoded


def decoded_rows(decoded: Decoded, ended: Ended, given_s: float | None, worked_s: float) -> Outputs:
    """Rows of decoded bins.

    Args:
        decoded, ended: the outputs and the bins they belong to.
        given_s: the time now, from which the latency is counted back to the last sample waited
            for; None for a source whose time stamps have nothing to do with the present.
        worked_s: the latency in that case: the time since the samples were taken up.
    """
    quality, n = decoded.quality, len(ended.bin)
    latency_s = np.full(n, worked_s) if given_s is None else given_s - ended.waited_s
    known = not np.isnan(ended.truth).all()
    return Outputs(
        bin=ended.bin,
        time_s=ended.time_s,
        behavior=decoded.behavior,
        latency_ms=1000 * latency_s,
        filled_share=quality.filled_share,
        bad_channels=quality.bad_channels,
        clipped_channels=quality.clipped_channels,
        gap=quality.gap,
        neutral=quality.neutral.copy(),
        held=np.zeros(n, bool),
        filled=quality.filled,
        truth=ended.truth if known else None,
    )


def own_rows(
    first_bin: int,
    n: int,
    first_s: float,
    bin_s: float,
    behavior: NDArray[np.float64],
    held: bool,
    channels: int,
) -> Outputs:
    """Rows without samples: all channels missing, the value before (`held`) or the neutral one."""
    return Outputs(
        bin=first_bin + np.arange(n, dtype=np.int64),
        time_s=first_s + bin_s * np.arange(float(n)),
        behavior=np.tile(behavior, (n, 1)),
        latency_ms=np.zeros(n),
        filled_share=np.ones(n),
        bad_channels=np.full(n, channels, dtype=np.int64),
        clipped_channels=np.zeros(n, dtype=np.int64),
        gap=np.ones(n, bool),
        neutral=np.full(n, not held),
        held=np.full(n, held),
        filled=np.ones((n, channels)),
    )


def from_row(rows: Outputs, first: int) -> Outputs:
    """The rows from this one on."""
    return Outputs._make(None if part is None else part[first:] for part in rows)
