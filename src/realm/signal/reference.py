"""The common average: what all electrodes share is mostly not the brain under each of them."""

from __future__ import annotations

import numpy as np

from realm.signal.guard import Hold, HoldState
from realm.signal.stage import Guarded

FEWEST = 4  # channels; the average of fewer holds too much of each of them


class CommonAverage:
    """Subtracts from each sample the mean over the channels that are good at that instant.

    A bad channel's samples take its last good referenced value, fading to zero, so that a gap
    does not let the average of the others in. The state is that of `Hold`.
    """

    latency_ms = 0.0

    def __init__(self, n_channels: int, sampling_rate_hz: float) -> None:
        self.hold = Hold(n_channels, sampling_rate_hz)

    def describe(self) -> str:
        """One line for people."""
        return "common average over the good channels"

    def initial_state(self) -> HoldState:
        """Nothing has been referenced yet."""
        return self.hold.initial_state()

    def step(self, x: Guarded, state: HoldState) -> tuple[Guarded, HoldState]:
        """Re-reference one chunk."""
        good = ~x.bad
        total = np.where(good, x.samples, 0.0).sum(axis=1, keepdims=True)
        count = np.maximum(good.sum(axis=1, keepdims=True), 1)
        samples, state = self.hold.step(x.samples - total / count, x.bad, state)
        return Guarded(samples, x.bad, x.raw), state
