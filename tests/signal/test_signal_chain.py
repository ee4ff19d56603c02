"""The chain as its users meet it: names, errors, saving, configuration, imports."""

from __future__ import annotations

import json
import subprocess
import sys

import contract
import numpy as np
import pytest
from scipy import signal
from signal_examples import clean_and_faulty, fitted

from realm.signal import Features, SignalChain, SignalConfig, resolve_bands


def test_shapes_and_names() -> None:
    x = clean_and_faulty(500.0, 3.0)[1]
    chain = fitted(x, 500.0)
    features = chain.forward(x)
    assert isinstance(features, Features)
    assert features.values.shape == (300, 5, 4) == (chain.n_bins(len(x)), 5, chain.n_bands)
    assert features.filled.shape == (300, 5)
    assert features.values.dtype == features.filled.dtype == np.float64
    assert chain.band_names == ("slow", "beta", "low_gamma", "high_gamma")
    assert np.isfinite(features.values).all()
    assert np.abs(features.values).max() <= 10


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1000.0, {"slow": 45.0, "beta": 30.0, "low_gamma": 60.0, "high_gamma": 170.0}),
        (250.0, {"slow": 45.0, "beta": 30.0, "low_gamma": 60.0, "high_gamma": 112.5}),
        (150.0, {"slow": 45.0, "beta": 30.0, "low_gamma": 60.0}),
        (100.0, {"slow": 45.0, "beta": 30.0, "low_gamma": 45.0}),
        (50.0, {"slow": 22.5, "beta": 22.5}),
    ],
)
def test_presets_take_what_the_rate_allows(rate: float, expected: dict[str, float]) -> None:
    bands = resolve_bands(SignalConfig(), rate)
    assert {name: high for name, (_, high) in bands.items()} == expected
    assert next(iter(bands)) == "slow"


def test_a_band_of_ones_own_above_the_limit_is_refused_with_the_usable_ones() -> None:
    config = SignalConfig(
        preset="custom", bands_hz={"theta": (4, 10), "ripple": (150, 250), "fast": (100, 120)}
    )
    with pytest.raises(ValueError, match=r"below 112\.5 Hz") as caught:
        resolve_bands(config, 250.0)
    text = str(caught.value)
    got, usable = text.split("usable are")
    assert "ripple" in got
    assert "fast" in got
    assert "slow" in usable
    assert "theta (4 to 10 Hz)" in usable
    assert "ripple" not in usable
    with pytest.raises(ValueError, match="below 45 Hz"):
        resolve_bands(SignalConfig(slow_hz=(0.3, 48.0)), 100.0)


def test_custom_bands() -> None:
    config = SignalConfig(preset="custom", slow_hz=None, bands_hz={"theta": (4, 10)})
    chain = SignalChain(config, 250.0, ["a"])
    assert chain.band_names == ("theta",)
    assert config == SignalConfig(preset="custom", slow_hz=(0, 0), bands_hz={"theta": (4, 10)})
    assert SignalChain(SignalConfig(preset="slow"), 250.0, ["a"]).band_names == ("slow",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bin_ms": 0}, "bin_ms: expected a number above zero"),
        ({"bin_ms": float("nan")}, "bin_ms"),
        ({"bin_ms": "10"}, "bin_ms"),
        ({"preset": "fast"}, "preset: expected one of 'slow', 'multiband', 'custom'"),
        ({"reference": "car"}, "reference: expected one of"),
        ({"smoothing_ms": -1}, "smoothing_ms: expected a number of zero or more"),
        ({"line_hz": 0}, "line_hz"),
        ({"flat_ms": -3}, "flat_ms"),
        ({"limit_scale": 0}, "limit_scale"),
        ({"dead_ms": True}, "dead_ms"),
        ({"slow_hz": (45.0, 0.3)}, "slow_hz: expected low < high"),
        ({"slow_hz": 45.0}, r"slow_hz: expected \(low, high\)"),
        ({"slow_hz": (-1.0, 45.0)}, "slow_hz low edge"),
        ({"preset": "slow", "slow_hz": None}, "has no other feature"),
        ({"preset": "custom", "slow_hz": None}, "has no other feature"),
        ({"bands_hz": {"theta": (4, 10)}}, 'use preset "custom"'),
        ({"preset": "custom", "bands_hz": {"slow": (4, 10)}}, "belongs to the slow potential"),
        ({"preset": "custom", "bands_hz": {"theta": (0, 10)}}, "low edge"),
        ({"preset": "custom", "bands_hz": [4, 10]}, "bands_hz: expected names"),
    ],
)
def test_configuration_errors(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignalConfig(**values)  # type: ignore[arg-type]


def test_unknown_key_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'bin'; valid keys are bands_hz, bin_ms"):
        SignalConfig.from_dict({"bin": 3})


def test_configuration_through_json() -> None:
    config = SignalConfig(preset="custom", bands_hz={"theta": (4, 10)}, line_hz=50)
    assert SignalConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_configuration_inside_a_strict_model() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Recipe(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        signal: SignalConfig = SignalConfig()

    globals()["SignalConfig"] = SignalConfig
    Recipe.model_rebuild()
    read = Recipe.model_validate(
        {"signal": {"preset": "custom", "bands_hz": {"theta": [4, 10]}, "bin_ms": 20}}
    )
    assert read.signal == SignalConfig(preset="custom", bands_hz={"theta": (4, 10)}, bin_ms=20)
    with pytest.raises(pydantic.ValidationError, match="bin_s"):
        Recipe.model_validate({"signal": {"bin_s": 1}})
    with pytest.raises(pydantic.ValidationError, match="above zero"):
        Recipe.model_validate({"signal": {"bin_ms": 0}})


def test_saved_and_loaded_it_is_the_same_to_the_last_bit() -> None:
    clean, x = clean_and_faulty(24414.0625, 0.5)
    clean[:, 4] = 0.0
    config = SignalConfig(line_hz=60.0, preset="custom", bands_hz={"high": (80, 300)})
    names = list("abcde")
    chain = SignalChain(config, 24414.0625, names, [False, True, False, False, False])
    for made in (
        chain,
        chain.fit_guard(clean),
        chain.fit_guard(clean).fit_normalization(chain.fit_guard(clean).forward(clean)),
    ):
        values, arrays = made.save_state()
        loaded = SignalChain.load_state(json.loads(json.dumps(values)), arrays)
        contract.assert_identical(loaded.forward(x), made.forward(x), "loaded")
        assert loaded.describe() == made.describe()
        assert loaded.config == made.config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, a: v.pop("format"), "another version"),
        (lambda v, a: v.update(format=99), "another version"),
        (lambda v, a: v.pop("dead"), "dead is missing"),
        (lambda v, a: v.update(more=1), "more is missing or unknown"),
        (lambda v, a: a.pop("guard_scale"), "guard_scale is missing"),
        (lambda v, a: a.update(foreign=np.zeros(1)), "foreign is missing or unknown"),
        (lambda v, a: a.update(guard_scale=np.zeros(3)), "expected 5 finite numbers"),
        (lambda v, a: a.update(normalization_std=np.zeros((2, 2))), "expected mean and std"),
        (lambda v, a: v["dead"].update(nobody="x"), "not among its channels"),
        (lambda v, a: v["config"].update(bins=3), "unknown key 'bins'"),
    ],
)
def test_a_damaged_state_is_refused(change: object, message: str) -> None:
    chain = fitted(clean_and_faulty(500.0, 2.0)[0], 500.0)
    values, arrays = chain.save_state()
    change(values, arrays)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        SignalChain.load_state(values, arrays)


def test_wrong_chunks_are_refused() -> None:
    chain = SignalChain(SignalConfig(), 500.0, list("abcd"))
    for wrong in (np.zeros((10, 3)), np.zeros(10), np.zeros((2, 10, 4))):
        with pytest.raises(ValueError, match=r"expected \(samples, 4 channels: a, b, c, d\)"):
            chain.step(wrong, chain.initial_state())
    with pytest.raises(ValueError, match="real numbers"):
        chain.forward(np.zeros((10, 4), dtype=complex))


@pytest.mark.parametrize("rate", [0.0, -5.0, np.nan, np.inf])
def test_wrong_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="sampling_rate_hz"):
        SignalChain(SignalConfig(), rate, ["a"])


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="no name twice"):
        SignalChain(SignalConfig(), 500.0, ["a", "a"])
    with pytest.raises(ValueError, match="at least one"):
        SignalChain(SignalConfig(), 500.0, [])
    with pytest.raises(ValueError, match="expected 2 flags"):
        SignalChain(SignalConfig(), 500.0, ["a", "b"], [True])


def test_an_offset_leaves_no_trace_once_fitted() -> None:
    x = clean_and_faulty(500.0, 4.0)[0]
    near, far = fitted(x, 500.0), fitted(x + 1.0, 500.0)
    np.testing.assert_allclose(far.forward(x + 1.0).values, near.forward(x).values, atol=1e-6)


def test_the_chain_is_what_plain_filters_give() -> None:
    """Against scipy on the whole recording at once, with nothing streamed or guarded."""
    rate, x = 500.0, clean_and_faulty(500.0, 4.0)[0]
    config = SignalConfig(preset="custom", bands_hz={"theta": (4, 10)}, smoothing_ms=20.0)
    chain = SignalChain(config, rate, list("abcde")).fit_guard(x)
    referenced = x - np.median(x, axis=0)
    referenced -= referenced.mean(axis=1, keepdims=True)
    slow = signal.sosfilt(signal.butter(4, 45, "low", fs=rate, output="sos"), referenced, 0)
    slow = signal.sosfilt(signal.butter(2, 0.3, "high", fs=rate, output="sos"), slow, 0)
    theta = signal.sosfilt(signal.butter(3, (4, 10), "band", fs=rate, output="sos"), referenced, 0)
    keep = np.exp(-1 / 10)
    power = signal.lfilter([1 - keep], [1, -keep], theta**2, axis=0)
    features = chain.forward(x)
    binned = slow.reshape(400, 5, 5).mean(axis=1)
    np.testing.assert_allclose(features.values[..., 0], binned, rtol=1e-9, atol=1e-15)
    floor = np.square(1e-4 * chain.limits.scale)
    log_power = np.log(power.reshape(400, 5, 5).mean(axis=1) + floor)
    np.testing.assert_allclose(features.values[..., 1], log_power, rtol=1e-9)


def test_imports_with_numpy_and_scipy_alone() -> None:
    code = (
        "import sys\n"
        "import realm.signal\n"
        "heavy = {'torch', 'pydantic', 'torch_brain', 'h5py', 'pynwb', 'sklearn', 'ray', "
        "'matplotlib', 'pandas'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
