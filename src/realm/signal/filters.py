"""Causal filters as second-order sections, and what each must be by its definition.

Sections run in float64 with their state carried from chunk to chunk, so that a chunk boundary
changes nothing. Low bands at high rates need the precision: float32 errs by a part in 400.

A bundle brings coefficients with it. They are compared with the transfer function in closed form,
well inside the unit circle of z^-1: there a sum of powers is accurate however near the poles lie to
the circle, and two different filters have different values.

Source: the bilinear transform s = (1 - z^-1) / (1 + z^-1) of Butterworth's low-pass
1 / prod(s - p_k), with edges warped to tan(pi f / rate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.signal.config import USABLE_SHARE
from realm.signal.stage import Floats, Guarded

NOTCH_WIDTH_HZ = 2.0
NEGLIGIBLE = 1e-100  # volts; a silent filter is set to rest here, denormal numbers are slow
Complex = NDArray[np.complex128]
Transfer = Callable[[Complex], Complex]  # of z^-1

POINTS = 0.5 * np.exp(1j * np.linspace(0, np.pi, 16))
LARGEST_COEFFICIENT = 1e3  # of a section; those of our filters are of the order of one
TOLERANCE = 1e-9  # of the largest value; rounding is far below it, another filter far above


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
        if not right or np.abs(sos[:, 3] - 1).max() > TOLERANCE:  # is 1 by definition
            return False
        runs = sos.copy()
        runs[:, 3] = 1
        right = tame(runs) and agrees(runs, self._transfer)
        if right:
            self.sos = runs
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


class Filtered:
    """Something that runs sections: their coefficients as arrays, and given ones to run with."""

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        raise NotImplementedError

    def array_names(self) -> tuple[str, ...]:
        """Names of `arrays`, without designing a filter."""
        return tuple(self.sections)

    def arrays(self) -> dict[str, Floats]:
        """The coefficients (sections, 6) of every filter, by name."""
        return {name: sections.sos.copy() for name, sections in self.sections.items()}

    def use(self, arrays: Mapping[str, Floats]) -> None:
        """Run with these coefficients, to the bit.

        Raises:
            ValueError: they are those of another filter.
        """
        for name, sections in self.sections.items():
            if not sections.use(np.array(arrays[name], dtype=np.float64)):
                raise ValueError(
                    f"expected the coefficients that the settings give for {name!r}, got those of "
                    "another filter"
                )


class LineNotch(Filtered):
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


def lowpass(order: int, edge_hz: float, rate_hz: float) -> Transfer:
    """Butterworth low-pass."""
    return lambda delay: _prototype(order, _analog(delay) / _warped(edge_hz, rate_hz))


def highpass(order: int, edge_hz: float, rate_hz: float) -> Transfer:
    """Butterworth high-pass."""
    return lambda delay: _prototype(order, _warped(edge_hz, rate_hz) / _analog(delay))


def bandpass(order: int, band_hz: tuple[float, float], rate_hz: float) -> Transfer:
    """Butterworth band-pass, of twice the order."""
    low, high = (_warped(edge_hz, rate_hz) for edge_hz in band_hz)

    def transfer(delay: Complex) -> Complex:
        s = _analog(delay)
        return _prototype(order, (s * s + low * high) / ((high - low) * s))

    return transfer


def notch(frequency_hz: float, width_hz: float, rate_hz: float) -> Transfer:
    """Second-order notch, 3 dB down at `width_hz` around its frequency."""
    turn = np.cos(2 * np.pi * frequency_hz / rate_hz)
    gain = 1 / (1 + np.tan(np.pi * width_hz / rate_hz))

    def transfer(delay: Complex) -> Complex:
        above = gain * (1 - 2 * turn * delay + delay**2)
        passed: Complex = above / (1 - 2 * gain * turn * delay + (2 * gain - 1) * delay**2)
        return passed

    return transfer


def in_series(*parts: Transfer) -> Transfer:
    """One after the other; nothing at all is 1."""

    def transfer(delay: Complex) -> Complex:
        product = np.ones_like(delay)
        for part in parts:
            product = product * part(delay)
        return product

    return transfer


def response(sos: Floats, delay: Complex) -> Complex:
    """The transfer function of second-order sections (sections, 6) at these z^-1."""
    powers = delay ** np.arange(3)[:, None]
    quotients = (sos[:, :3] @ powers) / (sos[:, 3:] @ powers)
    product: Complex = np.prod(quotients, axis=0)
    return product


def agrees(sos: Floats, transfer: Transfer) -> bool:
    """Whether these sections are the filter that the transfer function defines."""
    expected = transfer(POINTS)
    apart = np.abs(response(sos, POINTS) - expected).max()
    return bool(apart <= TOLERANCE * np.abs(expected).max())


def tame(sos: Floats) -> bool:
    """Whether every section is stable by itself and moderate, whatever the others make of it."""
    a1, a2 = sos[:, 4], sos[:, 5]
    stable = (np.abs(a2) <= 1) & (np.abs(a1) <= 1 + a2)
    return bool(stable.all() and np.abs(sos).max(initial=0.0) <= LARGEST_COEFFICIENT)


def _analog(delay: Complex) -> Complex:
    return (1 - delay) / (1 + delay)


def _warped(frequency_hz: float, rate_hz: float) -> float:
    return float(np.tan(np.pi * frequency_hz / rate_hz))


def _prototype(order: int, s: Complex) -> Complex:
    poles = np.exp(1j * np.pi * (2 * np.arange(order) + order + 1) / (2 * order))
    product: Complex = 1 / np.prod(s - poles[:, None], axis=0)
    return product
