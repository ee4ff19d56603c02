"""From broadband to the rate of field potentials: no aliases, no smears, no new clock."""

from __future__ import annotations

import json
from typing import Any

import contract
import numpy as np
import pytest
from scipy import signal
from signal_examples import computed_by, faulty, fitted, lfp

from realm.signal import (
    Binning,
    Decimation,
    Guarded,
    SignalChain,
    SignalConfig,
    decimation_factor,
)
from realm.signal.compiled import compiled_step
from realm.signal.decimation import ATTENUATION_DB, DESIGN_DB

RATE, FACTOR, TOP_HZ = 30_000.0, 30, 170.0
PLAIN_BANDS = SignalConfig(reference="none", line_hz=50.0)


def stage(n_channels: int = 3, factor: int = FACTOR, rate: float = RATE) -> Decimation:
    return Decimation(factor, TOP_HZ, n_channels, rate)


def clean(samples: np.ndarray) -> Guarded:
    return Guarded(samples, np.zeros(samples.shape, dtype=bool))


def noise(n: int, n_channels: int = 3, seed: int = 0) -> np.ndarray:
    return 1e-4 * np.random.default_rng(seed).normal(size=(n, n_channels))


def broadband(seconds: float, n_channels: int = 4, rate: float = RATE) -> np.ndarray:
    """Field potentials with white noise on top."""
    n = round(seconds * rate)
    return lfp(n, n_channels, rate) + 2e-5 * np.random.default_rng(1).normal(size=(n, n_channels))


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("factor", "rate"), [(30, 30_000.0), (24, 24414.0625), (2, 2000.0)])
def test_the_stage_keeps_the_contract(engine: str, factor: int, rate: float) -> None:
    part = stage(3, factor, rate)
    inner = compiled_step(part) if engine == "numba" else part.step

    def step(x: Guarded, state: Any) -> tuple[Any, Any]:
        y, state = inner(x, state)
        assert y.raw is not None
        assert y.raw.n_samples == len(x.samples)
        return (y.samples, y.bad, y.raw.replaced), state

    x = noise(1500)
    bad = np.random.default_rng(2).random(x.shape) < 0.3
    contract.check_causal_part(
        step,
        part.initial_state,
        Guarded(x, bad),
        rng=np.random.default_rng(3),
        rtol=0,
        outputs_before=lambda n: n // factor,
    )


@pytest.mark.parametrize("factor", [2, 7, 24, 30])
def test_both_engines_give_the_same_bits(factor: int) -> None:
    part = stage(5, factor, 1000.0 * factor)
    x = Guarded(noise(1234, 5), np.random.default_rng(2).random((1234, 5)) < 0.4)
    (y, end), (z, after) = (s(x, part.initial_state()) for s in (part.step, compiled_step(part)))
    contract.assert_identical(z, y, "output")
    contract.assert_identical(after, end, "state")
    begun, state = part.step(contract.time_slice(x, 0, 500, 0), part.initial_state())
    rest, last = compiled_step(part)(contract.time_slice(x, 500, 1234, 0), state)
    joined = np.concatenate([begun.samples, rest.samples])
    contract.assert_identical(joined, y.samples, "with the other engine")
    contract.assert_identical(last, end, "state with the other engine")


def test_it_is_the_filter_of_scipy() -> None:
    part, x = stage(), noise(6000)
    found = compiled_step(part)(clean(x), part.initial_state())[0].samples
    expected = signal.lfilter(part.taps, 1.0, x, axis=0)[FACTOR - 1 :: FACTOR]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    window = ("kaiser", signal.kaiser_beta(DESIGN_DB))
    designed = signal.firwin(len(part.taps), part.to_hz / 2, window=window, fs=RATE)
    np.testing.assert_allclose(part.taps, designed, rtol=0, atol=2.0**-32)


def test_the_taps_do_not_depend_on_the_last_bits_of_a_library() -> None:
    taps = stage().taps * 2.0**32
    np.testing.assert_array_equal(taps, np.round(taps))


@pytest.mark.parametrize(
    ("factor", "top_hz"),
    [(30, 170.0), (24, 170.0), (15, 170.0), (30, 300.0), (20, 500.0), (60, 170.0)],
)
def test_what_would_fold_into_a_band_is_gone_and_the_bands_are_flat(
    factor: int, top_hz: float
) -> None:
    part = Decimation(factor, top_hz, 1, RATE)
    frequencies = np.arange(0.0, RATE / 2, 1.0)
    level_db = 20 * np.log10(np.abs(signal.freqz(part.taps, worN=frequencies, fs=RATE)[1]) + 1e-30)
    folded = np.abs(frequencies - part.to_hz * np.round(frequencies / part.to_hz))
    into_bands = (folded <= top_hz) & (frequencies > part.to_hz / 2)
    assert into_bands.sum() > 1000
    assert level_db[into_bands].max() < -ATTENUATION_DB
    assert np.abs(level_db[frequencies <= top_hz]).max() < 0.01


def test_a_tone_that_would_fold_is_gone_and_one_in_a_band_stays() -> None:
    part, time = stage(1), np.arange(60_000) / RATE
    for frequency, expected in ((100.0, 1.0), (900.0, 0.0), (1100.0, 0.0), (14_950.0, 0.0)):
        x = np.sin(2 * np.pi * frequency * time)[:, None]
        y = part.step(clean(x), part.initial_state())[0].samples[100:]
        assert np.sqrt(2) * y.std() == pytest.approx(expected, abs=1e-3)


def test_the_delay_is_the_one_that_is_stated() -> None:
    part, at = stage(1), 3000
    x = np.zeros((9000, 1))
    x[at] = 1.0
    pieces = [np.roll(x, shift) for shift in range(FACTOR)]  # every phase of the impulse
    found = [part.step(clean(p), part.initial_state())[0].samples[:, 0] for p in pieces]
    newest = FACTOR * np.arange(1, len(found[0]) + 1) - 1  # raw sample at which each output comes
    response = {n - at - shift: y[m] for shift, y in enumerate(found) for m, n in enumerate(newest)}
    delay = sum(n * h for n, h in response.items()) / sum(response.values())
    assert 1000 * delay / RATE == pytest.approx(part.latency_ms, abs=1e-6)
    assert part.latency_ms == pytest.approx(3.433, abs=1e-3)
    assert all(h == 0 for n, h in response.items() if n < 0), "it answers before it is asked"
    for n, h in response.items():
        assert h == response.get(round(2 * delay) - n, 0.0)  # all frequencies are delayed alike


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("rate", "bin_ms"), [(30_000.0, 10.0), (24414.0625, 10.0), (6000.0, 7.3)])
def test_the_chain_keeps_the_contract(engine: Any, rate: float, bin_ms: float) -> None:
    x = broadband(0.3, 4, rate)
    config = SignalConfig(line_hz=50.0, bin_ms=bin_ms, dead_ms=40.0, recovery_ms=10.0)
    chain = computed_by(engine, fitted(x, rate, config))
    assert [type(part).__name__ for part in chain.stages][:2] == ["Guard", "Decimation"]
    contract.check_causal_part(
        chain.step,
        chain.initial_state,
        faulty(x, rate),
        rng=np.random.default_rng(4),
        rtol=0,
        outputs_before=Binning(bin_ms, rate, 1, 1).n_bins,  # of the raw samples
    )


def test_the_compiled_chain_equals_the_plain_one() -> None:
    x = broadband(0.5)
    chain = fitted(x, RATE, SignalConfig(line_hz=50.0))
    left, right = (each.forward(faulty(x, RATE)) for each in (chain, chain.plain()))
    assert 0 < right.filled.mean() < 1
    contract.assert_close(left, right, 1e-10, 1e-10, "compiled against plain")


def test_the_chain_is_the_filter_and_then_the_chain_of_the_low_rate() -> None:
    x, names = broadband(1.0), list("abcd")
    chain = SignalChain(PLAIN_BANDS, RATE, names)
    filtered = signal.lfilter(stage().taps, 1.0, x, axis=0)[FACTOR - 1 :: FACTOR]
    low = SignalChain(PLAIN_BANDS, RATE / FACTOR, names)
    contract.assert_close(chain.forward(x), low.forward(filtered), 1e-10, 1e-14, "two ways")
    assert chain.latency_ms == pytest.approx(low.latency_ms + stage().latency_ms)
    assert (chain.sampling_rate_hz, chain.filter_rate_hz) == (RATE, 1000.0)


def test_a_bin_takes_no_sample_of_the_next_one_at_rates_that_do_not_divide() -> None:
    rate, factor = 24414.0625, 24
    names, config = ["a"], SignalConfig(preset="slow", slow_hz=(0.0, 40.0), reference="none")
    chain = SignalChain(config, rate, names)
    x = broadband(1.0, 1, rate)
    part = Decimation(factor, 40.0, 1, rate)
    filtered = part.step(clean(x), part.initial_state())[0].samples
    slow = chain.stages[2].step(clean(filtered), chain.stages[2].initial_state())[0].values[:, 0, 0]
    newest = (np.arange(1, len(slow) + 1) * factor - 1) / rate  # s
    values = chain.forward(x).values[:, 0, 0]
    for k in range(len(values)):
        inside = (newest >= 0.01 * k) & (newest < 0.01 * (k + 1))
        assert values[k] == pytest.approx(slow[inside].mean(), rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0, -1.0])
def test_a_bad_raw_sample_is_replaced_before_the_filter_and_counted(value: float) -> None:
    x = broadband(1.0)
    chain = fitted(x, RATE)
    hit = x.copy()
    hit[15_100, 2] = value
    before, after = chain.forward(x), chain.forward(hit)
    assert np.abs(after.values - before.values).max() < 0.05  # standard deviations
    expected = np.zeros_like(before.filled)
    expected[50, 2] = 1 / 300
    np.testing.assert_allclose(after.filled, expected, rtol=1e-12)


def test_scattered_bad_samples_are_no_bad_bins() -> None:
    """A tenth of the raw samples is lost all over: nearly every period has one, none is lost."""
    x = broadband(1.0)
    chain = fitted(x, RATE)
    hit = x.copy()
    hit[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    before, after = chain.forward(x), chain.forward(hit)
    assert np.abs(after.filled - 0.1).max() < 0.1
    assert after.filled.mean() == pytest.approx(0.1, abs=0.01)
    assert np.abs(after.values - before.values)[20:].mean() < 0.1


def test_a_gap_fills_its_bins_wholly_and_a_saturated_channel_is_seen() -> None:
    x = broadband(1.0)
    chain = fitted(x, RATE)
    x[9000:12_000, 0] = np.nan  # bins 30 to 39
    x[15_000:24_000, 1] = 4 * chain.limits.scale[1] + chain.limits.centre[1]  # bins 50 to 79
    filled = chain.forward(x).filled
    assert (filled[30:40, 0] == 1).all()
    assert filled[:30, 0].max() == filled[40:, 0].max() == 0
    assert (filled[52:80, 1] == 1).all()  # a rail shows after 20 ms
    assert filled[:50, 1].max() == filled[81:, 1].max() == 0


@pytest.mark.parametrize(
    ("rate", "config", "factor"),
    [
        (1000.0, SignalConfig(), 1),
        (5000.0, SignalConfig(), 1),
        (30_000.0, SignalConfig(), 30),
        (24414.0625, SignalConfig(), 24),
        (29_999.83, SignalConfig(), 30),
        (30_000.0, SignalConfig(preset="custom", bands_hz={"high": (80.0, 500.0)}), 20),
        (30_000.0, SignalConfig(decimate_to_hz=0), 1),
        (30_000.0, SignalConfig(decimate_to_hz=500), 60),
        (2000.0, SignalConfig(decimate_to_hz=1000.0), 2),
        (500.0, SignalConfig(decimate_to_hz=1000.0), 1),
    ],
)
def test_what_is_decimated_and_how_far(rate: float, config: SignalConfig, factor: int) -> None:
    assert decimation_factor(config, rate) == factor
    chain = SignalChain(config, rate, ["a"])
    decimations = [part for part in chain.stages if isinstance(part, Decimation)]
    assert [part.factor for part in decimations] == ([factor] if factor > 1 else [])
    assert ("Decimation" in [row[0] for row in chain.describe()]) == (factor > 1)


@pytest.mark.parametrize("value", [-1.0, 50.0, np.nan, "fast"])
def test_rates_that_make_no_sense_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="decimate_to_hz: expected"):
        SignalConfig(decimate_to_hz=value)


def test_bins_narrower_than_a_decimated_sample_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bin_ms: expected .* 1 ms at 1000 Hz, got 0.5 ms"):
        SignalChain(SignalConfig(bin_ms=0.5), RATE, ["a"])


def test_saved_and_loaded_it_is_the_same_and_older_chains_stay_as_they_were() -> None:
    x = broadband(0.5)
    for config in (SignalConfig(), SignalConfig(decimate_to_hz=0)):
        chain = fitted(x, RATE, config)
        values, arrays = chain.save_state()
        loaded = SignalChain.load_state(json.loads(json.dumps(values)), arrays)
        contract.assert_identical(loaded.forward(x), chain.forward(x), "loaded")
    del values["config"]["decimate_to_hz"]  # as it was saved before there was a choice
    older = SignalChain.load_state(values, arrays)
    assert older.factor == 1
    contract.assert_identical(older.forward(x), chain.forward(x), "without decimation")
