"""Line noise: a sharp peak in the spectrum that tells the true rate, because mains are 50 or 60 Hz.

A recording whose stated rate is twice the true one shows its mains at twice their frequency.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAINS_HZ = (50.0, 60.0)
LOWEST_HZ, HIGHEST_HZ = 9.0, 260.0  # where mains can appear at rates wrong by up to five times
TOLERANCE_HZ = 0.5
PROMINENCE_DB = 8.0
NEAR_HZ, FAR_HZ = 0.7, 2.0  # a line is this narrow: its surroundings are measured there
HARMONICS = 10
# True over stated rate of mistakes that are made: factors of tools and of clocks.
COMMON_RATIOS = (0.2, 0.25, 0.4, 0.5, 0.8, 1 / 1.024, 1.024, 1.2, 1.25, 2.0, 2.5, 4.0, 5.0)
RATIO_TOLERANCE = 0.003  # mains drift by less, and lines of 1/8 Hz are found to less


class Line(NamedTuple):
    """A sharp peak: where it is and how far it stands out."""

    hz: float
    db: float


def find_lines(frequencies_hz: NDArray[np.float64], power_db: NDArray[np.float64]) -> list[Line]:
    """Sharp peaks, the strongest first."""
    found = []
    for i in range(1, len(power_db) - 1):
        hz = float(frequencies_hz[i])
        if not LOWEST_HZ <= hz <= min(HIGHEST_HZ, 0.95 * frequencies_hz[-1]):
            continue
        if power_db[i] < max(power_db[i - 1], power_db[i + 1]):
            continue
        away = np.abs(frequencies_hz - hz)
        around = (away >= NEAR_HZ) & (away <= FAR_HZ)
        sides = [power_db[around & (frequencies_hz < hz)], power_db[around & (frequencies_hz > hz)]]
        height = min(float(power_db[i] - side.max()) for side in sides if side.size)
        if height >= PROMINENCE_DB:
            found.append(Line(hz, height))
    return sorted(found, key=lambda line: -line.db)


def mains_of(lines: list[Line]) -> float | None:
    """50 or 60 where a line stands there, else None."""
    for line in lines:
        for mains in MAINS_HZ:
            if abs(line.hz - mains) <= TOLERANCE_HZ:
                return mains
    return None


def is_harmonic(hz: float, rate_hz: float) -> bool:
    """Whether mains of 50 or 60 Hz have a harmonic, or the alias of one, at `hz`."""
    for mains in MAINS_HZ:
        for k in range(1, HARMONICS + 1):
            folded = (k * mains) % rate_hz
            if abs(min(folded, rate_hz - folded) - hz) <= TOLERANCE_HZ:
                return True
    return False


def true_ratio(
    lines: list[Line], rate_hz: float, span_ratio: float | None
) -> tuple[float, Line] | None:
    """True over stated rate, and the line that tells it; None where they tell nothing.

    Args:
        lines: of the spectrum.
        rate_hz: as stated.
        span_ratio: how long the samples last over how long behavior does, where that is known: it
            is what the ratio is if both were recorded together.
    """
    if not lines or mains_of(lines) is not None:
        return None
    for line in lines:
        ratios = [mains / line.hz for mains in MAINS_HZ]
        if span_ratio is not None:
            for ratio in ratios:
                if abs(ratio - 1) > 0.02 and abs(ratio / span_ratio - 1) < 0.02:
                    return ratio, line
        if is_harmonic(line.hz, rate_hz):
            continue
        for ratio in ratios:
            for common in COMMON_RATIOS:
                if abs(ratio / common - 1) < RATIO_TOLERANCE:
                    return common, line
    return None
