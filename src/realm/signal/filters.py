"""Causal filters: line notch, slow potential and band power, as second-order sections.

Sections run in float64 with their state carried from chunk to chunk, so that a chunk boundary
changes nothing. Low bands at high rates need the precision: float32 errs by a part in 400.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from realm.signal.config import USABLE_SHARE
from realm.signal.stage import Banded, Floats, Guarded
from realm.signal.transfer import (
    Transfer,
    agrees,
    bandpass,
    highpass,
    in_series,
    lowpass,
    notch,
    response,
)

NOTCH_WIDTH_HZ = 2.0
SLOW_ORDER = 4
HIGHPASS_ORDER = 2
BAND_ORDER = 3
NEGLIGIBLE = 1e-100  # volts; a silent filter is set to rest here, denormal numbers are slow


class Sections:
    """A cascade of second-order sections over the channels of a chunk.

    Args:
        count: of the sections.
        transfer: what they do, by their definition.
        design: gives their coefficients (count, 6); it is asked when they are first needed, and
            not at all if `use` came before: designing loads scipy's filters, which takes most of
            a second.
    """

    def __init__(
        self,
        count: int,
        transfer: Transfer,
        design: Callable[[], Any],
        n_channels: int,
        sampling_rate_hz: float,
    ) -> None:
        self.count, self._transfer, self._design = count, transfer, design
        self.n_channels, self.sampling_rate_hz = n_channels, sampling_rate_hz

    @cached_property
    def sos(self) -> Floats:
        """Coefficients (count, 6), as scipy orders them."""
        return np.asarray(self._design(), dtype=np.float64)

    def use(self, sos: Floats) -> bool:
        """Run with these coefficients, to the bit; False if they are those of another filter."""
        right = sos.shape == (self.count, 6) and bool(np.isfinite(sos).all())
        right = right and agrees(sos, self._transfer)
        if right:
            self.sos = sos
            self.sos[:, 3] = 1  # by definition
        return right

    def initial_state(self) -> Floats:
        """At rest: (sections, 2, channels)."""
        return np.zeros((self.count, 2, self.n_channels))

    def step(self, x: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Filter (samples, channels)."""
        if not len(x):
            return x, state
        from scipy.signal import sosfilt

        y, after = sosfilt(self.sos, x, axis=0, zi=state)
        return y, np.where(np.abs(after) < NEGLIGIBLE, 0.0, after)

    def delay_ms(self, frequency_hz: float) -> float:
        """Group delay at one frequency."""
        around = frequency_hz * np.array([0.999, 1.001])
        passed = response(self.sos, np.exp(-2j * np.pi * around / self.sampling_rate_hz))
        turn = float(np.angle(passed[1] / passed[0]))
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
        self._line_hz = line_hz
        count, rate_hz = max(1, len(self.removed_hz)), sampling_rate_hz
        transfer = in_series(*(notch(f, NOTCH_WIDTH_HZ, rate_hz) for f in self.removed_hz))
        self._sections = Sections(count, transfer, self._designed, n_channels, rate_hz)

    def _designed(self) -> Any:
        from scipy.signal import iirnotch, tf2sos

        rate_hz = self._sections.sampling_rate_hz
        notches = [tf2sos(*iirnotch(f, f / NOTCH_WIDTH_HZ, fs=rate_hz)) for f in self.removed_hz]
        return np.vstack(notches or [np.array([[1.0, 0, 0, 1, 0, 0]])])

    @property
    def latency_ms(self) -> float:
        """Its group delay between the line's harmonics."""
        return self._sections.delay_ms(self._line_hz / 2)

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
        return Guarded(samples, x.bad, x.raw), state


class SlowPotential:
    """The slow potential as an amplitude: Butterworth low-pass, and high-pass if low > 0."""

    logarithmic = False

    def __init__(
        self, name: str, band_hz: tuple[float, float], n_channels: int, sampling_rate_hz: float
    ) -> None:
        self.name, self.band_hz = name, band_hz
        (low, high), rate_hz = band_hz, sampling_rate_hz
        parts, order = [lowpass(SLOW_ORDER, high, rate_hz)], SLOW_ORDER
        if low > 0:
            parts, order = [*parts, highpass(HIGHPASS_ORDER, low, rate_hz)], order + HIGHPASS_ORDER
        transfer = in_series(*parts)
        self._sections = Sections(order // 2, transfer, self._designed, n_channels, rate_hz)

    def _designed(self) -> Any:
        from scipy.signal import butter

        (low, high), rate_hz = self.band_hz, self._sections.sampling_rate_hz
        sos = butter(SLOW_ORDER, high, "lowpass", fs=rate_hz, output="sos")
        if low > 0:
            slow = butter(HIGHPASS_ORDER, low, "highpass", fs=rate_hz, output="sos")
            sos = np.vstack([sos, slow])
        return sos

    @property
    def latency_ms(self) -> float:
        """Its group delay in the middle of the band, on a scale of octaves."""
        low, high = self.band_hz
        return self._sections.delay_ms(float(np.sqrt(max(low, high / 100) * high)))

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._sections}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: amplitude {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    @property
    def rows(self) -> int:
        """Of its state (rows, channels): two for each section."""
        return 2 * self._sections.count

    def initial_state(self) -> Floats:
        """At rest."""
        return np.zeros((self.rows, self._sections.n_channels))

    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """(samples, channels) in, volts out."""
        channels = self._sections.n_channels
        y, after = self._sections.step(x.samples, state.reshape(-1, 2, channels))
        return y, after.reshape(-1, channels)


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
        self._smoothing_ms = smoothing_ms
        samples = smoothing_ms * sampling_rate_hz / 1000
        self._keep = keep = float(np.exp(-1 / samples)) if samples > 0 else 0.0
        self._band = Sections(
            BAND_ORDER,
            bandpass(BAND_ORDER, band_hz, sampling_rate_hz),
            self._band_pass,
            n_channels,
            sampling_rate_hz,
        )
        self._smooth = Sections(
            1,
            lambda delay: (1 - keep) / (1 - keep * delay),
            self._one_pole,
            n_channels,
            sampling_rate_hz,
        )

    def _band_pass(self) -> Any:
        from scipy.signal import butter

        rate_hz = self._band.sampling_rate_hz
        return butter(BAND_ORDER, self.band_hz, "bandpass", fs=rate_hz, output="sos")

    def _one_pole(self) -> Any:
        return np.array([[1 - self._keep, 0, 0, 1, -self._keep, 0]])

    @property
    def latency_ms(self) -> float:
        """Group delay of the band-pass in its middle, and the smoothing's time constant."""
        low, high = self.band_hz
        return self._band.delay_ms(float(np.sqrt(low * high))) + self._smoothing_ms

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._band, "smoothing": self._smooth}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: log power {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    @property
    def rows(self) -> int:
        """Of its state (rows, channels): two for each section, and the latest smoothed power."""
        return 2 * (self._band.count + self._smooth.count) + 1

    def initial_state(self) -> Floats:
        """At rest."""
        return np.zeros((self.rows, self._band.n_channels))

    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """(samples, channels) in, volts squared out."""
        if not len(x.samples):
            return x.samples, state
        channels, latest = self._band.n_channels, state[-1]
        sections = state[:-1].reshape(-1, 2, channels)
        band, after = self._band.step(x.samples, sections[:-1])
        power = np.square(band)
        level, smooth = self._smooth.step(power, sections[-1:])
        for channel in np.flatnonzero(x.bad.any(axis=0)):
            one, good = [channel], ~x.bad[:, channel]
            kept, smooth[..., one] = self._smooth.step(power[good][:, one], sections[-1:, :, one])
            latest_good = np.cumsum(good)  # counted from 1, the level before this chunk is 0
            level[:, channel] = np.append(latest[channel], kept)[latest_good]
        rows = np.concatenate([after, smooth]).reshape(-1, channels)
        return level, np.concatenate([rows, level[-1:]])


class Bands:
    """All bands side by side; its latency is that of the slowest."""

    def __init__(self, parts: tuple[SlowPotential | BandPower, ...]) -> None:
        self.parts = parts

    @property
    def latency_ms(self) -> float:
        """That of the slowest."""
        return max(part.latency_ms for part in self.parts)

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

    def initial_state(self) -> Floats:
        """All at rest: (rows, channels), those of the first band first."""
        return np.concatenate([part.initial_state() for part in self.parts])

    def step(self, x: Guarded, state: Floats) -> tuple[Banded, Floats]:
        """Filter one chunk into (samples, channels, bands)."""
        values = np.empty((*x.samples.shape, len(self.parts)))
        after: list[Floats] = []
        ends = np.cumsum([part.rows for part in self.parts])[:-1]
        for column, (part, before) in enumerate(
            zip(self.parts, np.split(state, ends), strict=True)
        ):
            values[..., column], new = part.step(x, before)
            after.append(new)
        return Banded(values, x.bad, x.raw), np.concatenate(after)
