"""A kind of feature of another package: the same on every engine, saved, bundled and on the rig."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import contract
import numpy as np
import pytest
from foreign_feature import FOREIGN, remove_entry_points
from signal_examples import clean_and_faulty, computed_by, fitted

from realm.signal import BandPower, Bands, Guarded, SignalChain, SignalConfig, SlowPotential
from realm.signal.compiled import compiled_step
from realm.signal.features import KINDS, make_feature
from realm.signal.stage import Feature

pytestmark = pytest.mark.usefixtures("foreign_package")
RATE = 500.0


def chain_of(config: SignalConfig) -> SignalChain:
    return fitted(clean_and_faulty(RATE)[0], RATE, config)


CONFIGS = {
    "beside the bands": SignalConfig(features=FOREIGN),
    "between": SignalConfig(
        features={**FOREIGN, "theta": {"kind": "band_power", "band_hz": (4, 10)}}
    ),
    "alone": SignalConfig(preset="custom", slow_hz=None, features=FOREIGN),
    "decimated": SignalConfig(features=FOREIGN, preset="slow", decimate_to_hz=250.0),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_is_the_same_on_every_engine_and_in_every_chunk(config: SignalConfig) -> None:
    chain, x = chain_of(config), clean_and_faulty(RATE)[1]
    expected, end = chain.plain().step(x, chain.initial_state())
    found, after = computed_by("numba", chain).step(x, chain.initial_state())
    contract.assert_close(found, expected, 1e-10, 1e-10, "compiled against plain")
    contract.assert_close(after, end, 1e-10, 1e-10, "state")
    own = chain.band_names.index("roughness")
    np.testing.assert_array_equal(found.values[..., own], expected.values[..., own])
    assert expected.values[..., own].std() > 0
    for engine in ("numba", "numpy"):
        contract.check_causal_part(
            computed_by(engine, chain).step,
            chain.initial_state,
            x[:600],
            rng=np.random.default_rng(2),
            rtol=0,
            outputs_before=chain.n_bins,
        )


class Doubled(BandPower):
    """A kind that somebody derives from a known one."""

    def step(self, x: Guarded, state: Any) -> Any:
        """Twice the power."""
        y, state = super().step(x, state)
        return 2 * y, state


def test_a_subclass_of_a_known_kind_runs_its_own_step() -> None:
    made = (
        SlowPotential("slow", (0.3, 40.0), 3, RATE),
        Doubled("twice", (12.0, 30.0), 50.0, 3, RATE),
        BandPower("once", (12.0, 30.0), 50.0, 3, RATE),
    )
    bands = Bands(made)
    samples = 1e-5 * np.random.default_rng(0).normal(size=(300, 3))
    given = Guarded(samples, np.zeros(samples.shape, dtype=bool))
    found, after = compiled_step(bands)(given, bands.initial_state())
    expected, end = bands.step(given, bands.initial_state())
    contract.assert_close(found, expected, 1e-10, 1e-18, "compiled against plain")
    contract.assert_close(after, end, 1e-10, 1e-18, "state")
    np.testing.assert_allclose(found.values[..., 1], 2 * found.values[..., 2], rtol=1e-10)


def test_a_subclass_of_a_known_stage_runs_its_own_step() -> None:
    class Louder(Bands):
        def step(self, x: Guarded, state: Any) -> Any:
            y, state = super().step(x, state)
            return y._replace(values=3 * y.values), state

    bands = Louder((SlowPotential("slow", (0.3, 40.0), 2, RATE),))
    assert compiled_step(bands) == bands.step


def test_it_is_saved_and_loaded_with_its_arrays() -> None:
    chain, x = chain_of(SignalConfig(features=FOREIGN)), clean_and_faulty(RATE)[1]
    values, arrays = chain.save_state()
    loaded = SignalChain.load_state(json.loads(json.dumps(values)), arrays)
    again = loaded.with_coefficients(chain.coefficients())
    assert chain.coefficients()["roughness.keep"].shape == (1,)
    for each in (loaded, again):
        contract.assert_identical(each.forward(x), chain.forward(x), "a chain that was saved")
    other = chain.coefficients() | {"roughness.keep": np.array([0.5])}
    assert (chain.with_coefficients(other).forward(x).values != chain.forward(x).values).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"roughness.keep": np.array([2.0])}, "roughness.*share that is kept"),
        ({"roughness.keep": np.zeros((2, 1))}, r"roughness.*shape \(1,\)"),
        ({"roughness.more": np.zeros(1)}, "roughness.more"),
        ({"beta.band": np.ones((3, 6))}, "beta.*another filter"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], said: str) -> None:
    chain = chain_of(SignalConfig(features=FOREIGN))
    with pytest.raises(ValueError, match=said):
        chain.with_coefficients(chain.coefficients() | change)


def test_a_kind_that_is_not_installed_is_refused_by_name(foreign_package: Path) -> None:
    values, arrays = chain_of(SignalConfig(features=FOREIGN)).save_state()
    remove_entry_points(foreign_package)
    with pytest.raises(ValueError, match=r"roughness.*band_power.*'line_length'.*install"):
        SignalChain.load_state(values, arrays)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "line_length"}, "band_hz"),
        ({"band_hz": (1, 2)}, "kind"),
        ({"kind": "line_length", "band_hz": (1, 2), "window_ms": float("nan")}, "window_ms"),
        ({"kind": "line_length", "band_hz": (1, 2), "window_ms": {"a": 1}}, "window_ms"),
        ("line_length", "kind and band_hz"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"features.mine.*{said}"):
        SignalConfig(features={"mine": settings})


@pytest.mark.parametrize(
    ("name", "preset"), [("slow", "slow"), ("beta", "multiband"), ("theta", "custom")]
)
def test_a_name_belongs_to_one_feature(name: str, preset: Any) -> None:
    bands = {"theta": (4.0, 8.0)} if preset == "custom" else {}
    with pytest.raises(ValueError, match=f"features.{name}"):
        SignalConfig(preset=preset, bands_hz=bands, features={name: FOREIGN["roughness"]})


def test_an_unknown_setting_names_those_of_the_kind() -> None:
    settings = {"kind": "line_length", "band_hz": (1, 2), "windw_ms": 3}
    with pytest.raises(ValueError, match=r"features.mine.*windw_ms.*window_ms"):
        make_feature("mine", settings, 2, RATE)


def test_a_state_of_the_wrong_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(SlowPotential):
        def initial_state(self) -> Any:
            """Not by channel."""
            return np.zeros(3)

    monkeypatch.setitem(KINDS, "forgetful", Forgetful)
    with pytest.raises(ValueError, match=r"mine.*\(rows, 2 channels\).*\(3,\)"):
        make_feature("mine", {"kind": "forgetful", "band_hz": (1, 2)}, 2, RATE)


def test_the_highest_band_of_all_features_decides_the_decimation() -> None:
    low = SignalConfig(preset="slow")
    high = SignalConfig(
        preset="slow", features={"fast": FOREIGN["roughness"] | {"band_hz": (1, 900)}}
    )
    assert SignalChain(low, 3e4, ["a"]).filter_rate_hz == 1000
    assert SignalChain(high, 3e4, ["a"]).filter_rate_hz > 2500


def test_without_features_of_its_own_a_configuration_is_written_as_before() -> None:
    """Fingerprints and bundles of older versions stay what they are."""
    assert "features" not in SignalConfig().to_dict()
    written = SignalConfig(features=FOREIGN).to_dict()
    assert SignalConfig.from_dict(written) == SignalConfig(features=FOREIGN)


def test_the_base_class_checks_arrays_to_the_bit() -> None:
    class Fixed(SlowPotential):
        array_names, use = Feature.array_names, Feature.use

        def arrays(self) -> dict[str, Any]:
            """One number."""
            return {"a": np.ones(2)}

    part = Fixed("mine", (0.0, 20.0), 2, RATE)
    part.use({"a": np.ones(2)})
    with pytest.raises(ValueError, match="'a'"):
        part.use({"a": np.array([1.0, 1.0 + 1e-15])})
