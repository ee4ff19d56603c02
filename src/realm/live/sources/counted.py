"""Times of samples that are numbered but not stamped on this machine's clock.

An amplifier counts its samples and says nothing of this machine's clock. A sample was taken when
its number says, plus what lies between the two clocks: the least delay at which samples arrive.
Pauses, blocks and busy machines only add to that delay, so that the least one is the truest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.live.clock import Delay


class CountedTimes:
    """When each numbered sample was taken, as far as the arrival of all of them tells.

    The times are late by the least time that a block takes from the amplifier to here, which also
    holds the length of a block: its last sample arrives with the others.

    Args:
        rate_hz: nominal sampling rate.
    """

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz, self._delay = rate_hz, Delay()

    def times(self, first: int, count: int, arrived_s: float) -> NDArray[np.float64]:
        """Times of samples `first` to `first + count - 1`, which arrived together; seconds.

        Returns:
            (count,), on the clock of `arrived_s`, which is that of `realm.live.clock.now_s`.
        """
        on_its_clock = (first + np.arange(count)) / self._rate_hz
        if count:
            self._delay.add(arrived_s - float(on_its_clock[-1]), arrived_s)
        return on_its_clock + self._delay.usual_s
