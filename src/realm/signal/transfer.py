"""What a filter does by its definition, to hold coefficients against.

Transfer functions in closed form. They are evaluated well inside the unit circle of z^-1, where a
sum of powers is accurate however near the poles lie to it, and where two filters that differ,
differ.

Source: the bilinear transform s = (1 - z^-1) / (1 + z^-1) of Butterworth's low-pass
1 / prod(s - p_k), with edges warped to tan(pi f / rate).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realm.signal.stage import Floats

Complex = NDArray[np.complex128]
Transfer = Callable[[Complex], Complex]  # of z^-1

POINTS = 0.5 * np.exp(1j * np.linspace(0, np.pi, 16))
TOLERANCE = 1e-9  # of the largest value; rounding is far below it, another filter far above


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


def _analog(delay: Complex) -> Complex:
    return (1 - delay) / (1 + delay)


def _warped(frequency_hz: float, rate_hz: float) -> float:
    return float(np.tan(np.pi * frequency_hz / rate_hz))


def _prototype(order: int, s: Complex) -> Complex:
    poles = np.exp(1j * np.pi * (2 * np.arange(order) + order + 1) / (2 * order))
    product: Complex = 1 / np.prod(s - poles[:, None], axis=0)
    return product
