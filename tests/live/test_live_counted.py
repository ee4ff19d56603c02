"""Times of samples that are numbered but not stamped."""

from __future__ import annotations

import numpy as np
import pytest

from realm.live.sources.counted import CountedTimes

RATE_HZ, SIZE = 1000.0, 20


def arrivals(seconds: float, rate_hz: float = RATE_HZ, late_s: float = 0.03, seed: int = 0):
    """First number of each block, and when it arrives: on time, or up to `late_s` later."""
    firsts = np.arange(0, round(seconds * RATE_HZ), SIZE)
    jitter = late_s * np.random.default_rng(seed).random(len(firsts)) ** 2
    jitter[::7] = 0.0
    return zip(firsts.tolist(), (500.0 + (firsts + SIZE - 1) / rate_hz + jitter), strict=True)


def test_jitter_of_the_arrival_is_not_in_the_times() -> None:
    clock = CountedTimes(RATE_HZ)
    for first, arrived_s in arrivals(10.0):
        times = clock.times(first, SIZE, arrived_s)
        np.testing.assert_allclose(np.diff(times), 1 / RATE_HZ, rtol=1e-6)
        if first > RATE_HZ:
            np.testing.assert_allclose(times[0], 500.0 + first / RATE_HZ, atol=1e-3)


@pytest.mark.parametrize("rate_hz", [0.998 * RATE_HZ, 1.002 * RATE_HZ, 0.5 * RATE_HZ])
def test_the_rate_is_that_of_the_arrivals(rate_hz: float) -> None:
    clock = CountedTimes(RATE_HZ)
    got = {first: clock.times(first, SIZE, at)[-1] for first, at in arrivals(20.0, rate_hz, 0.005)}
    firsts = [first for first in got if first > 2 * RATE_HZ]
    measured = (firsts[-1] - firsts[0]) / (got[firsts[-1]] - got[firsts[0]])
    assert measured == pytest.approx(rate_hz, rel=0.05 if rate_hz < 900 else 5e-4)


def test_after_a_pause_the_numbers_say_when_samples_were_taken() -> None:
    clock = CountedTimes(RATE_HZ)
    for first, arrived_s in arrivals(2.0, late_s=0.0):
        clock.times(first, SIZE, arrived_s)
    times = [clock.times(first, SIZE, 502.4) for first in range(2000, 2400, SIZE)]  # all at once
    np.testing.assert_allclose(times[-1][0], 502.38, atol=2e-3)
    assert clock.times(2400, 0, 502.5).shape == (0,)
