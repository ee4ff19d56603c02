"""The parts a simulated session is made of: reaches, noises, field potential, spike counts.

The model and its numbers are described at the top of `simulate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

Array = NDArray[np.float64]
PEAK_SPEED_M_S = 0.4
LINE_HZ = 50.0


class Tuning(NamedTuple):
    """Weights of one subject on one day, each (channels,).

    Attributes:
        direction: preferred direction, radians.
        slow, gamma, beta, spike: strengths of the four movement effects, positive.
    """

    direction: Array
    slow: Array
    gamma: Array
    beta: Array
    spike: Array


def reach_path(task: str, n: int, rate_hz: float, rng: np.random.Generator) -> Array:
    """Hand position in metres for `n` samples and one second more, (samples, 2)."""
    total = n + int(rate_hz)
    path = np.empty((total, 2))
    here, filled, out = np.zeros(2), 0, False
    while filled < total:
        if task == "self_paced":
            target = rng.uniform(-0.1, 0.1, 2)
        else:
            out = not out
            angle = rng.integers(8) * np.pi / 4
            target = 0.08 * np.array([np.cos(angle), np.sin(angle)]) if out else np.zeros(2)
        pause = int((0.15 + rng.exponential(0.35)) * rate_hz)
        seconds = (0.35 + 1.5 * np.linalg.norm(target - here)) * rng.lognormal(0, 0.15)
        t = np.linspace(0, 1, max(2, int(seconds * rate_hz)))[:, None]
        reach = here + (target - here) * (10 * t**3 - 15 * t**4 + 6 * t**5)
        piece = np.concatenate([np.repeat(here[None], pause, axis=0), reach])[: total - filled]
        path[filled : filled + len(piece)] = piece
        filled += len(piece)
        here = target
    return path


def local_field(
    rate_hz: float,
    velocity: Array,
    speed: Array,
    movement: Array,
    tuning: Tuning,
    rng: np.random.Generator,
) -> Array:
    """Sum of the parts listed at the top, (samples, channels) microvolts."""
    n, channels = len(velocity), len(tuning.direction)
    along = velocity @ np.stack([np.cos(tuning.direction), np.sin(tuning.direction)])
    along /= PEAK_SPEED_M_S  # (samples, channels)
    v = speed[:, None] / PEAK_SPEED_M_S
    shared = background_noise(rng, n, 1, rate_hz) * rng.normal(0, 1, channels)
    lfp = 20.0 * (background_noise(rng, n, channels, rate_hz) + shared)
    lfp += 6.0 * tuning.slow * _box(along + 0.3 * v, round(0.1 * rate_hz))
    rest = 1 - 0.7 * movement[:, None]
    lfp += 8.0 * tuning.beta * rest * band_noise(rng, n, channels, rate_hz, 15.0, 25.0)
    high = min(170.0, 0.45 * rate_hz)
    if high > 75.0:
        amplitude = 1 + tuning.gamma * (np.maximum(along, 0) + 0.3 * v)
        lfp += 1.5 * amplitude * band_noise(rng, n, channels, rate_hz, 70.0, high)
    lfp += 10.0 * background_noise(rng, n, 1, rate_hz)  # common to all channels
    if rate_hz / 2 > LINE_HZ:
        phase = 2 * np.pi * LINE_HZ * np.arange(n) / rate_hz
        lfp += 3.0 * rng.lognormal(0, 0.3, channels) * np.sin(phase)[:, None]
    lfp += 0.5 * rng.standard_normal((n, channels))
    return lfp


def spike_counts(
    velocity: Array,
    tuning: Tuning,
    dead: NDArray[np.bool_],
    rate_hz: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Poisson counts, at most 60 spikes per second and channel on average."""
    along = velocity @ np.stack([np.cos(tuning.direction), np.sin(tuning.direction)])
    log_rate = np.log(8.0) + tuning.spike * along / PEAK_SPEED_M_S
    log_rate += 0.5 * np.linalg.norm(velocity, axis=1, keepdims=True) / PEAK_SPEED_M_S
    rate = np.minimum(np.exp(log_rate), 60.0) * ~dead
    counts: NDArray[np.uint8] = np.minimum(rng.poisson(rate / rate_hz), 255).astype(np.uint8)
    return counts


def background_noise(rng: np.random.Generator, n: int, channels: int, rate_hz: float) -> Array:
    """Noise of power 1/f² above 0.5 Hz, flat below; unit variance, (n, channels)."""
    return _shaped(rng, n, channels, rate_hz, lambda f: np.maximum(f, 0.5) ** -1.0)


def band_noise(
    rng: np.random.Generator, n: int, channels: int, rate_hz: float, low: float, high: float
) -> Array:
    """Gaussian noise between two frequencies, unit variance, (n, channels)."""
    return _shaped(rng, n, channels, rate_hz, lambda f: ((f >= low) & (f <= high)).astype(float))


def _shaped(
    rng: np.random.Generator,
    n: int,
    channels: int,
    rate_hz: float,
    gain: Callable[[Array], Array],
) -> Array:
    """White noise with each frequency multiplied by `gain`, scaled to unit variance."""
    length = next_fast_len(n, real=True)
    spectrum = rfft(rng.standard_normal((length, channels)), axis=0)
    spectrum *= gain(rfftfreq(length, 1 / rate_hz))[:, None]
    noise: Array = irfft(spectrum, n=length, axis=0)[:n]
    noise /= noise.std(axis=0)
    return noise


def _box(x: Array, width: int) -> Array:
    """Mean over the last `width` samples, zeros before the first, (samples, channels)."""
    width = max(1, width)
    total = np.cumsum(np.concatenate([np.zeros((width, x.shape[1])), x]), axis=0)
    mean: Array = (total[width:] - total[:-width]) / width
    return mean
