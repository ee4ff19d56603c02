"""Whether a signal is in the unit that was declared."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
import pytest
from live_cases import CHANNELS, bundle, signal

from realm.live import settings
from realm.live.check import UnitCheck, Verdict
from realm.live.settings import LiveSettings, Setting, all_settings
from realm.live.status import Histogram

N = 500


def judged(volts: np.ndarray, usable: int = CHANNELS, size: int = 50) -> Verdict | None:
    """The first verdict."""
    flags = np.arange(CHANNELS) < usable
    check = UnitCheck(bundle().chain.limits, flags, N)
    for at in range(0, len(volts), size):
        if (verdict := check.add(volts[at : at + size])) is not None:
            return verdict
    return None


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("size", [1, 50, 5000])
def test_days_may_differ(factor: float, size: int) -> None:
    verdict = judged(factor * signal(1000)[0], size=size)
    assert verdict is not None
    assert not verdict.refused
    assert verdict.ratio == pytest.approx(factor, rel=0.3)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1e6, "microvolts declared as volts"),
        (1e-6, "volts declared as microvolts"),
        (1e3, "thousand times smaller"),
        (1e-3, "thousand times larger"),
        (1e9, "another unit or gain"),
        (50.0, "a unit a thousand times smaller"),
    ],
)
def test_units_may_not(factor: float, message: str) -> None:
    verdict = judged(factor * signal(1000)[0])
    assert verdict is not None
    assert message in verdict.refused


def test_missing_spiking_and_flat_channels_do_not_decide() -> None:
    volts = signal(1000)[0]
    volts[:, 0], volts[:, 1], volts[::20, 2] = np.nan, 0.0, 1e6
    verdict = judged(volts)
    assert verdict is not None
    assert not verdict.refused


def test_nothing_is_judged_until_channels_vary() -> None:
    volts = np.zeros((3 * N, CHANNELS))
    assert judged(volts) is None
    late = np.concatenate([volts, signal(N)[0]])
    verdict = judged(late)
    assert verdict is not None
    assert verdict.ratio == pytest.approx(1, rel=0.3)


def test_dead_channels_are_left_out() -> None:
    volts = signal(1000)[0]
    volts[:, 1:] *= 1e6
    verdict = judged(volts, usable=1)
    assert verdict is not None
    assert not verdict.refused


def test_percentiles_are_right_to_two_percent() -> None:
    latencies, histogram = np.random.default_rng(0).lognormal(size=50_000), Histogram()
    for part in np.array_split(latencies, 77):
        histogram.add(part)
    for percent in (50, 99, 99.9):
        assert histogram.percentile(percent) == pytest.approx(
            np.percentile(latencies, percent), rel=0.03
        )
    assert histogram.summary()["max"] == latencies.max()
    assert histogram.counts.sum() == 50_000


def test_latencies_off_the_scale_are_counted_at_its_ends() -> None:
    histogram = Histogram()
    assert histogram.summary() == {"p50": 0, "p99": 0, "p99.9": 0, "max": 0}
    histogram.add(np.array([-5.0, 0.0, 1e9]))
    assert (histogram.counts[0], histogram.counts[-1], histogram.largest_ms) == (2, 1, 1e9)
    assert histogram.percentile(50) < 0.002


@pytest.mark.parametrize(
    "given",
    [
        {"late_ms": 0.0},
        {"hold_ms": -1.0},
        {"queue_s": float("nan")},
        {"longest_fill_s": 1e9},
        {"jitter_ms": float("inf")},
    ],
)
def test_settings_out_of_range_are_named(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))}: expected"):
        LiveSettings(**given)


def test_each_setting_is_an_option_with_its_help_and_its_usual_value() -> None:
    from realm.commands.rig import live

    options = inspect.signature(live).parameters
    for field in fields(LiveSettings):
        option = options[field.name]
        (typed,) = option.annotation.__metadata__
        assert option.default == field.default
        setting = all_settings()[field.name]
        low, high = setting.limits(field.name)
        assert setting.help in typed.help
        assert low <= field.default <= high
        assert f"From {low:g} to {high:g}." in typed.help


def test_a_new_setting_is_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    from realm.commands import rig

    @dataclass(frozen=True)
    class More(LiveSettings):
        wait_ms: Annotated[float, Setting("Wait this long.")] = 20.0

    monkeypatch.setattr(settings, "LiveSettings", More)
    monkeypatch.setattr(rig, "LiveSettings", More)
    all_settings.cache_clear()
    try:
        option = inspect.signature(rig.with_settings(lambda **chosen: None)).parameters["wait_ms"]
        assert option.default == 20.0
        assert "Wait this long. From 1 to 60000." in option.annotation.__metadata__[0].help
        with pytest.raises(ValueError, match="wait_ms: expected 1 to 60000, got 0"):
            More(wait_ms=0)
    finally:
        all_settings.cache_clear()
