"""Filters by their definition are those that scipy designs, and no other passes for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, iirnotch, tf2sos

from realm.signal import filters as transfer

RATES_HZ = (508.6, 1000.0, 30_000.0)


def pairs(rate_hz: float) -> list[tuple[np.ndarray, transfer.Transfer]]:
    """Coefficients of scipy's, and what they should do."""
    return [
        (butter(4, 4.0, "lowpass", fs=rate_hz, output="sos"), transfer.lowpass(4, 4.0, rate_hz)),
        (butter(2, 0.1, "highpass", fs=rate_hz, output="sos"), transfer.highpass(2, 0.1, rate_hz)),
        (
            butter(3, (1.0, 4.0), "bandpass", fs=rate_hz, output="sos"),
            transfer.bandpass(3, (1.0, 4.0), rate_hz),
        ),
        (
            butter(3, (70.0, 200.0), "bandpass", fs=rate_hz, output="sos"),
            transfer.bandpass(3, (70.0, 200.0), rate_hz),
        ),
        (tf2sos(*iirnotch(60.0, 30.0, fs=rate_hz)), transfer.notch(60.0, 2.0, rate_hz)),
    ]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_filters_of_scipy_agree(rate_hz: float) -> None:
    made = pairs(rate_hz)
    for sos, defined in made:
        assert transfer.agrees(sos, defined)
    both = transfer.in_series(made[0][1], made[1][1])
    assert transfer.agrees(np.vstack([made[0][0], made[1][0]]), both)
    assert transfer.agrees(np.array([[1.0, 0, 0, 1, 0, 0]]), transfer.in_series())


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_no_other_filter_does(rate_hz: float) -> None:
    made = pairs(rate_hz)
    for index, (sos, _) in enumerate(made):
        others = [defined for other, (_, defined) in enumerate(made) if other != index]
        assert not any(transfer.agrees(sos, defined) for defined in others)
        for row in range(len(sos)):
            for column in (0, 1, 2, 4, 5):
                nudged = sos.copy()
                nudged[row, column] += 1e-6 * max(abs(sos[row, column]), abs(sos[row, 0]))
                assert not transfer.agrees(nudged, made[index][1]), (index, row, column)
    assert not transfer.agrees(
        butter(3, (1.0, 4.01), "bandpass", fs=rate_hz, output="sos"), made[2][1]
    )
