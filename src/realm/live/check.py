"""Whether a new connection's signal is what was declared: its unit and its rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.live.units import UnitCheck
from realm.streaming import StreamingDecoder

FIRST_RATE_TOLERANCE = 0.02  # of the first, short, measurement
RATE_TOLERANCE = 3e-3  # drift that the timeline follows is less

MOST_S = 10.0  # of signal, by which the rate must have been measured

Floats = NDArray[np.float64]


class SignalCheck:
    """Hears what one connection sends until unit and rate are known, then the rate alone.

    Attributes:
        passed: unit and rate were found to be right.
        unit_ratio: how many times larger the signal is than in training; None until it is known.
    """

    def __init__(self, decoder: StreamingDecoder, check_s: float) -> None:
        chain, self._rate_hz = decoder.bundle.chain, decoder.sampling_rate_hz
        usable = np.array([name not in chain.dead_channels for name in chain.channel_names])
        self._units = UnitCheck(chain.limits, usable, max(1, round(check_s * self._rate_hz)))
        self._heard, self._most = 0, MOST_S * self._rate_hz
        self.passed = self._unit_known = self._rate_known = check_s == 0
        self.unit_ratio: float | None = None

    def hear(self, volts: Floats, rates_hz: Floats) -> str:
        """Hear samples (samples, channels) and rates measured meanwhile.

        Returns:
            Why the source is to be refused; empty if there is no reason.
        """
        self._heard += len(volts)
        why = self._rate(rates_hz)
        if not self._unit_known and not why:
            verdict = self._units.add(volts)
            if verdict is not None:
                self._unit_known, self.unit_ratio, why = True, verdict.ratio, verdict.refused
        self.passed = self._unit_known and self._rate_known and not why
        return why

    def _rate(self, rates_hz: Floats) -> str:
        for rate_hz in rates_hz:
            tolerance = RATE_TOLERANCE if self._rate_known else FIRST_RATE_TOLERANCE
            if abs(rate_hz / self._rate_hz - 1) > tolerance:
                return (
                    f"expected {self._rate_hz:g} samples per second, as in the bundle, but their "
                    f"time stamps say {rate_hz:g}; correct the rate of the source"
                )
            self._rate_known = True
        if not self._rate_known and self._heard > self._most:
            return (
                f"expected {self._rate_hz:g} samples per second, as in the bundle, but their time "
                "stamps are nothing like it; correct the time stamps of the source"
            )
        return ""
