"""Whether samples are in the unit that was declared, judged by how large they are.

Microvolts declared as volts pass every check of names and shapes. The signal chain knows how much
each channel varied in training; a stream that varies a thousand times more or less is in another
unit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal.guard import GuardLimits

LARGEST_RATIO = 30.0  # between a unit and the next lie 1000; days differ by less than this
LEAST_SHARE = 0.25  # of the usable channels that must vary for a judgement
NAMES = {
    6: "microvolts declared as volts",
    3: "a unit a thousand times smaller than the declared one",
    -3: "a unit a thousand times larger than the declared one",
    -6: "volts declared as microvolts",
}

Floats = NDArray[np.float64]


class Verdict(NamedTuple):
    """What was found: how many times larger the signal is than in training."""

    ratio: float
    refused: str  # why; empty if it is in the right unit


class UnitCheck:
    """Collects the first samples of a connection and compares them with the training.

    Args:
        limits: centre and scale of each channel, as the chain learned them.
        usable: (channels,) False for the channels that were dead in training.
        n_samples: to collect for a judgement.
    """

    def __init__(self, limits: GuardLimits, usable: NDArray[np.bool_], n_samples: int) -> None:
        self._scale, self._usable, self._n = limits.scale, usable, n_samples
        self._begin()

    def _begin(self) -> None:
        self._blocks: list[Floats] = []
        self._heard = 0

    def add(self, volts: Floats) -> Verdict | None:
        """Add samples (samples, channels), missing ones as NaN.

        Returns:
            A verdict once there are enough. Where too few channels vary, nothing is judged and the
            collection begins anew.
        """
        self._blocks.append(volts[: self._n])
        self._heard += len(volts)
        if self._heard < self._n:
            return None
        ratio = self._ratio(np.concatenate(self._blocks))
        self._begin()
        return None if ratio is None else _verdict(ratio)

    def _ratio(self, volts: Floats) -> float | None:
        """Median over the varying channels of the scale now to the scale in training."""
        ratios = []
        for values, scale in zip(volts.T[self._usable], self._scale[self._usable], strict=True):
            good = values[np.isfinite(values)]
            if good.size > self._n // 4:
                low, high = np.percentile(good, [25, 75])
                ratios.append((high - low) / 1.349 / scale)
        varying = np.array([ratio for ratio in ratios if ratio > 0])
        if varying.size < max(1.0, LEAST_SHARE * np.count_nonzero(self._usable)):
            return None
        return float(np.median(varying))


def _verdict(ratio: float) -> Verdict:
    if 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        return Verdict(ratio, "")
    power = 3 * round(np.log10(ratio) / 3)
    guess = NAMES.get(power, "another unit or gain")
    return Verdict(
        ratio,
        f"expected a signal about as large as in training, got one {ratio:.3g} times as large, "
        f"which looks like {guess}; correct the unit that the source declares",
    )
