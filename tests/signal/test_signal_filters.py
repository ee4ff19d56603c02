"""The filters do what their names say: properties, not numbers."""

from __future__ import annotations

import numpy as np
import pytest
from signal_examples import lfp

from realm.signal import (
    BandPower,
    Bands,
    CommonAverage,
    Guarded,
    LineNotch,
    SignalChain,
    SignalConfig,
    SlowPotential,
)

RATE = 1000.0


def tone(hz: float, seconds: float = 4.0, rate: float = RATE, channels: int = 1) -> Guarded:
    t = np.arange(int(seconds * rate)) / rate
    samples = np.repeat(np.sin(2 * np.pi * hz * t)[:, None], channels, axis=1)
    return Guarded(samples, np.zeros(samples.shape, dtype=bool))


def settled_rms(y: np.ndarray, rate: float = RATE) -> float:
    return float(np.sqrt(np.mean(np.square(y[int(2 * rate) :]))) * np.sqrt(2))


@pytest.mark.parametrize(("hz", "kept"), [(5.0, 1.0), (20.0, 1.0), (30.0, 1.0), (90.0, 0.0)])
def test_slow_potential_keeps_a_tone_below_its_cutoff(hz: float, kept: float) -> None:
    slow = SlowPotential("slow", (0.3, 45.0), 1, RATE)
    y, _ = slow.step(tone(hz), slow.initial_state())
    assert settled_rms(y) == pytest.approx(kept, abs=0.08)


def test_slow_potential_removes_an_offset_unless_it_starts_at_zero() -> None:
    x = Guarded(np.ones((8000, 1)), np.zeros((8000, 1), dtype=bool))
    for low, level in ((0.3, 0.0), (0.0, 1.0)):
        slow = SlowPotential("slow", (low, 45.0), 1, RATE)
        y, _ = slow.step(x, slow.initial_state())
        assert y[-1, 0] == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
@pytest.mark.parametrize("harmonic", [1, 2, 3])
def test_notch_removes_the_line_and_its_harmonics(line_hz: float, harmonic: int) -> None:
    notch = LineNotch(line_hz, 400.0, 1, RATE)
    y, _ = notch.step(tone(harmonic * line_hz), notch.initial_state())
    assert settled_rms(y.samples) < 1e-3
    away, _ = notch.step(tone(line_hz * 0.7), notch.initial_state())
    assert settled_rms(away.samples) == pytest.approx(1.0, abs=0.02)


def test_notch_stays_below_its_limits() -> None:
    assert LineNotch(50.0, 400.0, 1, 250.0).removed_hz == [50.0, 100.0]
    assert LineNotch(60.0, 130.0, 1, RATE).removed_hz == [60.0, 120.0]
    nothing = LineNotch(60.0, 400.0, 1, 100.0)
    x = tone(10.0, rate=100.0)
    np.testing.assert_array_equal(nothing.step(x, nothing.initial_state())[0].samples, x.samples)
    assert "no harmonic" in nothing.describe()


def test_band_power_follows_amplitude() -> None:
    power = BandPower("beta", (12.0, 30.0), 50.0, 1, RATE)
    for amplitude in (1.0, 3.0):
        x = tone(20.0)
        y, _ = power.step(Guarded(amplitude * x.samples, x.bad), power.initial_state())
        assert y[3000:, 0].mean() == pytest.approx(amplitude**2 / 2, rel=0.02)
    outside, _ = power.step(tone(90.0), power.initial_state())
    assert outside[3000:].max() < 1e-3


@pytest.mark.parametrize("smoothing_ms", [0.0, 50.0, 200.0])
def test_declared_latency_is_the_delay_of_a_burst(smoothing_ms: float) -> None:
    """The centre of a burst's power comes out later than it went in by what was declared."""
    power = BandPower("high_gamma", (70.0, 170.0), smoothing_ms, 1, RATE)
    t = np.arange(4000) / RATE
    burst = np.exp(-0.5 * ((t - 1.0) / 0.1) ** 2) * np.sin(2 * np.pi * np.sqrt(70 * 170) * t)
    x = Guarded(burst[:, None], np.zeros((4000, 1), dtype=bool))
    y = power.step(x, power.initial_state())[0][:, 0]
    delay_ms = 1000 * ((t * y).sum() / y.sum() - (t * burst**2).sum() / (burst**2).sum())
    assert delay_ms == pytest.approx(power.latency_ms, abs=1.5)


def test_latency_of_bands_is_that_of_the_slowest_and_the_chain_sums() -> None:
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE, list("abcd"))
    assert chain.latency_ms == pytest.approx(sum(s.latency_ms for s in chain.stages))
    assert chain.latency_ms == pytest.approx(sum(ms for _, ms, _ in chain.describe()))
    (bands,) = (s for s in chain.stages if isinstance(s, Bands))
    assert bands.latency_ms == max(part.latency_ms for part in bands.parts)
    assert all(s.latency_ms >= 0 for s in chain.stages)
    assert 60 < chain.latency_ms < 120
    slow = SignalChain(SignalConfig(preset="slow"), RATE, list("abcd"))
    assert slow.latency_ms < 25


def test_common_average_removes_what_all_share_and_keeps_the_rest() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=(500, 6))
    own -= own.mean(axis=1, keepdims=True)
    bad = np.zeros(own.shape, dtype=bool)
    average = CommonAverage(6, RATE)
    shared = own + 50 * rng.normal(size=(500, 1))
    y, _ = average.step(Guarded(shared, bad), average.initial_state())
    np.testing.assert_allclose(y.samples, own, atol=1e-12)


def test_common_average_ignores_a_bad_channel_and_holds_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6))
    bad = np.zeros(x.shape, dtype=bool)
    x[200:400, 2], bad[200:400, 2] = 0.0, True
    average = CommonAverage(6, RATE)
    y, _ = average.step(Guarded(x, bad), average.initial_state())
    others = [0, 1, 3, 4, 5]
    expected = x[:, others] - x[:, others].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(y.samples[200:400][:, others], expected[200:400], atol=1e-12)
    assert y.samples[200, 2] == y.samples[199, 2]
    all_bad, _ = average.step(Guarded(x, np.ones_like(bad)), average.initial_state())
    assert (all_bad.samples == 0).all()


def test_common_average_needs_four_usable_channels() -> None:
    x = lfp(2000, 4, RATE)
    stages = [name for name, _, _ in SignalChain(SignalConfig(), RATE, list("abcd")).describe()]
    assert "CommonAverage" in stages
    x[:, 0] = 0.0
    chain = SignalChain(SignalConfig(), RATE, list("abcd")).fit_guard(x)
    assert not any(isinstance(stage, CommonAverage) for stage in chain.stages)
    assert any("left out: 3 usable" in text for _, _, text in chain.describe())
    none = SignalChain(SignalConfig(reference="none"), RATE, list("abcd"))
    assert not any(name == "CommonAverage" for name, _, _ in none.describe())


def test_silence_does_not_linger_as_denormal_numbers() -> None:
    power = BandPower("high_gamma", (70.0, 170.0), 50.0, 1, RATE)
    state = power.initial_state()
    x = tone(100.0)
    _, state = power.step(x, state)
    silence = Guarded(np.zeros((2000, 1)), np.zeros((2000, 1), dtype=bool))
    for _ in range(20):
        y, state = power.step(silence, state)
    assert (state[:-1] == 0).all()  # of the sections; the last row is the level
    assert state[-1] < 1e-90
    assert (y[-1] < 1e-90).all()
