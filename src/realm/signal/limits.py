"""What is ordinary for each channel, learned robustly from training time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realm.signal.config import SignalConfig
from realm.signal.runs import run_lengths
from realm.signal.stage import Floats

LARGEST = 1e6  # volts; beyond it nothing is a signal, fitted or not
DEAD_SHARE = 0.05  # of the median scale of the channels: less variation than this is none
MOSTLY = 0.5  # share of bad samples from which a channel is dead
ENOUGH = 500_000  # samples per channel that settle a median


@dataclass(frozen=True, eq=False)
class GuardLimits:
    """Centre and robust standard deviation of each channel (channels,), and the dead ones."""

    centre: Floats
    scale: Floats
    dead: dict[int, str]  # channel to the reason
    fitted: bool = True

    @classmethod
    def unfitted(cls, n_channels: int) -> GuardLimits:
        """Limits that only refuse what no recording can hold."""
        return cls(np.zeros(n_channels), np.ones(n_channels), {}, fitted=False)

    def reach(self, limit_scale: float) -> Floats:
        """How far from the centre a sample may lie, in volts (channels,)."""
        widest = np.full(len(self.scale), LARGEST)
        return np.minimum(limit_scale * self.scale, widest) if self.fitted else widest


def fit_limits(samples: Floats, config: SignalConfig, sampling_rate_hz: float) -> GuardLimits:
    """Learn the limits from training samples (samples, channels) in volts.

    The samples need not be one stretch: blocks from all over the training time do, as long as
    each is longer than `flat_ms`. Flat stretches and non-finite samples are left out.
    """
    n_channels = samples.shape[1]
    centre, scale = np.zeros(n_channels), np.zeros(n_channels)
    dead: dict[int, str] = {}
    for channel in range(n_channels):
        values = np.ascontiguousarray(samples[:, channel])  # read across memory once only
        good = _usable(values, config, sampling_rate_hz)
        if good.size < MOSTLY * values.size or not good.size:
            dead[channel] = f"{100 * (1 - good.size / max(values.size, 1)):.0f}% flat or not finite"
        if good.size:
            thinned = good[:: max(1, good.size // ENOUGH)]
            centre[channel], scale[channel] = _centre_and_scale(thinned)
        if scale[channel] == 0 and channel not in dead:
            dead[channel] = "no variation"
    alive = [c for c in range(n_channels) if c not in dead]
    typical = float(np.median(scale[alive])) if alive else 0.0
    for channel in alive:
        if scale[channel] < DEAD_SHARE * typical:
            dead[channel] = f"varies {100 * scale[channel] / typical:.1f}% as much as the others"
    scale[scale == 0] = 1.0
    return GuardLimits(centre, scale, dead)


def _usable(values: Floats, config: SignalConfig, sampling_rate_hz: float) -> Floats:
    with np.errstate(invalid="ignore"):
        good = np.abs(values) <= LARGEST
    if config.flat_ms:
        same = np.zeros((len(values), 1), dtype=bool)
        same[1:, 0] = values[1:] == values[:-1]
        repeats = run_lengths(same, np.zeros(1, dtype=np.int64))[:, 0]
        good &= repeats < max(3, int(config.flat_ms * sampling_rate_hz / 1000))
    return values[good]


def _centre_and_scale(values: Floats) -> tuple[float, float]:
    low, centre, high = np.percentile(values, [25, 50, 75])
    spread = max((high - low) / 1.349, 1.4826 * float(np.median(np.abs(values - centre))))
    return float(centre), float(spread or np.std(values))
