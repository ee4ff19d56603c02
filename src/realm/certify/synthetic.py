"""A signal drawn to a bundle's own statistics, for where there is no recording.

Every channel is the centre of its training time plus one noise per band. Its amplitudes are set
so that the features have the mean and deviation that they had in training: noise of its own
already makes them vary, the rest is a slow movement of the amplitude that channels partly share,
as in a brain. It holds no behavior.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from realm.certify.trial import Signal
from realm.signal import SignalChain
from realm.signal.config import SLOW_NAME

MOST_VALUES = 1 << 25  # samples times channels: 256 MB
TRIED_S = 12.0  # of signal that is drawn first, to set the amplitudes
SETTLED_S = 3.0
LATENTS = 6  # movements that channels share
LATENT_HZ = 1.0
FARTHEST = 2.5  # standard deviations of a movement
TRIM = 0.1  # of a band's width at either end, so that little reaches its neighbours

Reals = NDArray[np.float64]


class Levels(NamedTuple):
    """How strong each band is, both (channels, bands)."""

    amplitude: Reals  # volts, before it moves
    movement: Reals  # deviation of its logarithm of power; for the slow potential a share


def draw_signal(
    chain: SignalChain, seconds: float, seed: int, report: Callable[[int, int], None]
) -> Signal:
    """Raw samples (samples, channels) in volts for a fitted chain; dead channels stay flat."""
    rate = chain.sampling_rate_hz
    most = MOST_VALUES // chain.n_channels
    n, tried = (max(1, min(round(s * rate), most)) for s in (seconds, TRIED_S))
    rng = np.random.default_rng([seed, 1])
    levels = _first_levels(chain)
    levels = _adjusted(chain, levels, _drawn(chain, levels, tried, rng, lambda *_: None))
    samples = _drawn(chain, levels, n, rng, report)
    return Signal(samples, f"synthetic, drawn to the bundle's statistics, {n / rate:.0f} s")


def _first_levels(chain: SignalChain) -> Levels:
    mean, std = _statistics(chain)
    power = np.array(chain.logarithmic)
    amplitude = np.where(power, np.exp(np.clip(mean, -200, 20) / 2), std)
    return Levels(amplitude, np.zeros_like(amplitude))


def _adjusted(chain: SignalChain, levels: Levels, samples: Reals) -> Levels:
    """Levels corrected by the features of a signal that was drawn with them."""
    mean, std = _statistics(chain)
    settled = chain.n_bins(round(SETTLED_S * chain.sampling_rate_hz))
    found = chain.with_normalization(None).forward(samples).values[settled:]
    amplitude, movement = levels.amplitude.copy(), levels.movement.copy()
    for band, power in enumerate(chain.logarithmic):
        here, varied = found[..., band].mean(axis=0), found[..., band].std(axis=0)
        if not power:
            amplitude[:, band] *= std[:, band] / np.maximum(varied, 1e-300)
            movement[:, band] = 0.5
        else:
            amplitude[:, band] *= np.exp(np.clip(mean[:, band] - here, -9, 9) / 2)
            movement[:, band] = np.sqrt(np.maximum(0, std[:, band] ** 2 - varied**2))
    return Levels(amplitude, movement)


def _drawn(
    chain: SignalChain,
    levels: Levels,
    n: int,
    rng: np.random.Generator,
    report: Callable[[int, int], None],
) -> Reals:
    rate, dead = chain.sampling_rate_hz, chain.dead_channels
    latents = _unit(_filtered(rng.normal(size=(n, LATENTS)), (0.0, LATENT_HZ), rate))
    samples = np.empty((n, chain.n_channels))
    for channel, name in enumerate(chain.channel_names):
        report(channel, chain.n_channels)
        samples[:, channel] = chain.limits.centre[channel]
        for band, kind in enumerate(() if name in dead else chain.bands_hz):
            noise = _unit(_filtered(rng.normal(size=n), _inner(chain, kind), rate))
            shared = _unit(latents @ rng.normal(size=LATENTS))
            moved = levels.movement[channel, band]
            if not chain.logarithmic[band]:
                noise = np.sqrt(1 - moved**2) * noise + moved * shared
            else:
                noise *= np.exp(moved * np.clip(shared, -FARTHEST, FARTHEST) / 2)
            samples[:, channel] += levels.amplitude[channel, band] * noise
    return samples


def _inner(chain: SignalChain, name: str) -> tuple[float, float]:
    """The middle of a band; of the slow potential what lies below the power bands."""
    low, high = chain.bands_hz[name]
    if name == SLOW_NAME:
        others = [edges[0] for other, edges in chain.bands_hz.items() if other != SLOW_NAME]
        return low, min([high, *(edge / 2 for edge in others if edge > 4 * low)])
    return low + TRIM * (high - low), high - TRIM * (high - low)


def _statistics(chain: SignalChain) -> tuple[Reals, Reals]:
    assert chain.normalization is not None, "a bundle's chain is fitted"
    return chain.normalization.mean, chain.normalization.std


def _filtered(x: Reals, band_hz: tuple[float, float], rate: float) -> Reals:
    low, high = band_hz
    kind, edges = ("lowpass", high) if low <= 0 else ("bandpass", band_hz)
    filtered: Reals = sosfilt(butter(4, edges, kind, fs=rate, output="sos"), x, axis=0)
    return filtered


def _unit(x: Reals) -> Reals:
    centred = x - x.mean(axis=0)
    scaled: Reals = centred / np.maximum(centred.std(axis=0), 1e-300)
    return scaled
