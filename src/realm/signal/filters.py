"""Causal filters: line notch, slow potential and band power, as second-order sections.

Sections run in float64 with their state carried from chunk to chunk, so that a chunk boundary
changes nothing. Low bands at high rates need the precision: float32 errs by a part in 400.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import butter, iirnotch, sosfilt, sosfreqz, tf2sos

from realm.signal.config import USABLE_SHARE
from realm.signal.stage import Banded, Floats, Guarded

NOTCH_WIDTH_HZ = 2.0
SLOW_ORDER = 4
HIGHPASS_ORDER = 2
BAND_ORDER = 3
NEGLIGIBLE = 1e-100  # volts; a silent filter is set to rest here, denormal numbers are slow


class Sections:
    """A cascade of second-order sections over the channels of a chunk."""

    def __init__(self, sos: Floats, n_channels: int, sampling_rate_hz: float) -> None:
        self.sos, self.n_channels, self.sampling_rate_hz = sos, n_channels, sampling_rate_hz

    def initial_state(self) -> Floats:
        """At rest: (sections, 2, channels)."""
        return np.zeros((len(self.sos), 2, self.n_channels))

    def step(self, x: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Filter (samples, channels)."""
        if not len(x):
            return x, state
        y, after = sosfilt(self.sos, x, axis=0, zi=state)
        return y, np.where(np.abs(after) < NEGLIGIBLE, 0.0, after)

    def delay_ms(self, frequency_hz: float) -> float:
        """Group delay at one frequency."""
        around = frequency_hz * np.array([0.999, 1.001])
        _, response = sosfreqz(self.sos, worN=around, fs=self.sampling_rate_hz)
        turn = float(np.angle(response[1] / response[0]))
        return float(-turn / (2 * np.pi * (around[1] - around[0])) * 1000)


class LineNotch:
    """Removes the mains frequency and its harmonics.

    Harmonics are removed below 0.45 of the sampling rate and up to `highest_hz`, beyond which
    no feature looks. Source: second-order notch of `scipy.signal.iirnotch`, each 2 Hz wide.
    """

    def __init__(
        self, line_hz: float, highest_hz: float, n_channels: int, sampling_rate_hz: float
    ) -> None:
        top = min(USABLE_SHARE * sampling_rate_hz, highest_hz)
        self.removed_hz = [k * line_hz for k in range(1, int(top / line_hz) + 1)]
        notches = [
            tf2sos(*iirnotch(f, f / NOTCH_WIDTH_HZ, fs=sampling_rate_hz)) for f in self.removed_hz
        ]
        rest = np.array([[1.0, 0, 0, 1, 0, 0]])
        self._sections = Sections(np.vstack(notches or [rest]), n_channels, sampling_rate_hz)
        self.latency_ms = self._sections.delay_ms(line_hz / 2)

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"notch": self._sections}

    def describe(self) -> str:
        """One line for people."""
        removed = ", ".join(f"{f:g}" for f in self.removed_hz)
        return f"notch at {removed} Hz" if removed else "no harmonic of the line is in reach"

    def initial_state(self) -> Floats:
        """All notches at rest."""
        return self._sections.initial_state()

    def step(self, x: Guarded, state: Floats) -> tuple[Guarded, Floats]:
        """Notch one chunk."""
        samples, state = self._sections.step(x.samples, state)
        return Guarded(samples, x.bad), state


class SlowPotential:
    """The slow potential as an amplitude: Butterworth low-pass, and high-pass if low > 0."""

    logarithmic = False

    def __init__(
        self, name: str, band_hz: tuple[float, float], n_channels: int, sampling_rate_hz: float
    ) -> None:
        self.name, self.band_hz = name, band_hz
        low, high = band_hz
        sos = butter(SLOW_ORDER, high, "lowpass", fs=sampling_rate_hz, output="sos")
        if low > 0:
            slow = butter(HIGHPASS_ORDER, low, "highpass", fs=sampling_rate_hz, output="sos")
            sos = np.vstack([sos, slow])
        self._sections = Sections(sos, n_channels, sampling_rate_hz)
        self.latency_ms = self._sections.delay_ms(np.sqrt(max(low, high / 100) * high))

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._sections}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: amplitude {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    def initial_state(self) -> Floats:
        """At rest."""
        return self._sections.initial_state()

    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """(samples, channels) in, volts out."""
        return self._sections.step(x.samples, state)


class PowerState(NamedTuple):
    """State of the band-pass and of the smoothing, and the latest smoothed power (channels,)."""

    band: Floats
    smooth: Floats
    level: Floats


class BandPower:
    """Smoothed power of one band: Butterworth band-pass, square, one-pole low-pass.

    The smoothing stands still while a channel is bad, so that a gap is no drop in power.
    """

    logarithmic = True

    def __init__(
        self,
        name: str,
        band_hz: tuple[float, float],
        smoothing_ms: float,
        n_channels: int,
        sampling_rate_hz: float,
    ) -> None:
        self.name, self.band_hz = name, band_hz
        sos = butter(BAND_ORDER, band_hz, "bandpass", fs=sampling_rate_hz, output="sos")
        samples = smoothing_ms * sampling_rate_hz / 1000
        keep = float(np.exp(-1 / samples)) if samples > 0 else 0.0
        one_pole = np.array([[1 - keep, 0, 0, 1, -keep, 0]])
        self._band = Sections(sos, n_channels, sampling_rate_hz)
        self._smooth = Sections(one_pole, n_channels, sampling_rate_hz)
        self.latency_ms = self._band.delay_ms(np.sqrt(band_hz[0] * band_hz[1])) + smoothing_ms

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._band, "smoothing": self._smooth}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: log power {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    def initial_state(self) -> PowerState:
        """At rest."""
        level = np.zeros(self._band.n_channels)
        return PowerState(self._band.initial_state(), self._smooth.initial_state(), level)

    def step(self, x: Guarded, state: PowerState) -> tuple[Floats, PowerState]:
        """(samples, channels) in, volts squared out."""
        if not len(x.samples):
            return x.samples, state
        band, after = self._band.step(x.samples, state.band)
        power = np.square(band)
        level, smooth = self._smooth.step(power, state.smooth)
        for channel in np.flatnonzero(x.bad.any(axis=0)):
            one, good = [channel], ~x.bad[:, channel]
            kept, smooth[..., one] = self._smooth.step(power[good][:, one], state.smooth[..., one])
            latest_good = np.cumsum(good)  # counted from 1, the level before this chunk is 0
            level[:, channel] = np.append(state.level[channel], kept)[latest_good]
        return level, PowerState(after, smooth, level[-1].copy())


class Bands:
    """All bands side by side; its latency is that of the slowest."""

    def __init__(self, parts: tuple[SlowPotential | BandPower, ...]) -> None:
        self.parts = parts
        self.latency_ms = max(part.latency_ms for part in parts)

    @property
    def sections(self) -> dict[str, Sections]:
        """All filters, by band and name."""
        return {
            f"{part.name}.{name}": sections
            for part in self.parts
            for name, sections in part.sections.items()
        }

    def describe(self) -> str:
        """One line for people."""
        return "; ".join(f"{part.describe()} ({part.latency_ms:.0f} ms)" for part in self.parts)

    def initial_state(self) -> tuple[object, ...]:
        """One state per band."""
        return tuple(part.initial_state() for part in self.parts)

    def step(self, x: Guarded, state: tuple[object, ...]) -> tuple[Banded, tuple[object, ...]]:
        """Filter one chunk into (samples, channels, bands)."""
        values = np.empty((*x.samples.shape, len(self.parts)))
        after: list[object] = []
        for column, (part, before) in enumerate(zip(self.parts, state, strict=True)):
            values[..., column], new = part.step(x, before)  # type: ignore[arg-type]
            after.append(new)
        return Banded(values, x.bad), tuple(after)
