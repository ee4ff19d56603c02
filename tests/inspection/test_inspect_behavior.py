"""Behavior that cannot be decoded is a fault, `prepare` refuses it, and the advice makes it fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from realm.cli import app
from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.inspection.inspection import Inspection, inspect_recording
from realm.inspection.screen import screen
from realm.signal import SignalConfig

Change = Callable[[h5py.File], None]
LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"


def edited(edit: Callable[[np.ndarray], np.ndarray], series: str = HAND) -> Change:
    def change(file: h5py.File) -> None:
        values, said = file[f"{series}/data"][...], dict(file[f"{series}/data"].attrs)
        del file[f"{series}/data"]
        file[f"{series}/data"] = edit(values)
        file[f"{series}/data"].attrs.update(said)

    return change


def timed(edit: Callable[[np.ndarray], np.ndarray], series: str = HAND) -> Change:
    def change(file: h5py.File) -> None:
        rate = float(file[f"{series}/starting_time"].attrs["rate"])
        times = np.arange(len(file[f"{series}/data"])) / rate
        del file[f"{series}/starting_time"]
        file[f"{series}/timestamps"] = edit(times)

    return change


def heading(file: h5py.File) -> None:
    edited(lambda x: (np.arange(len(x)) / 50 * 1.1 % 360)[:, None] * 7 % 360)(file)
    file[f"{HAND}/data"].attrs["unit"] = "degrees"


def one_nan(times: np.ndarray) -> np.ndarray:
    times[40] = np.nan
    return times


FAULTS: dict[str, tuple[Change, str, str]] = {
    "transposed": (edited(np.transpose), "transposed", "2 times of 6000 dims"),
    "constant": (edited(np.ones_like), "constant_behavior", "one value"),
    "missing": (edited(lambda x: np.full_like(x, np.nan)), "missing_behavior", "every value"),
    "another length": (timed(lambda t: t[:-3]), "timestamps", "5997"),
    "one NaN time": (timed(one_nan), "timestamps", "sample 40"),
    "an angle": (heading, "wrapped_angle", "360"),
    "milliseconds": (timed(lambda t: t * 1e3), "time_unit", "divide them by 1000"),
    "microseconds": (timed(lambda t: t * 1e6), "time_unit", "divide them by 1e6"),
    "sample numbers": (timed(lambda t: t * 250), "time_unit", "divide them by 250"),
    "row numbers": (timed(lambda t: t * 50), "time_unit", "state the rate"),
    "12 s late": (timed(lambda t: t + 12), "behavior_clock", "offset_s = -12.000"),
    "12 s early": (timed(lambda t: t - 12), "behavior_clock", "offset_s = 12.000"),
    "60 s late": (timed(lambda t: t + 60), "behavior_clock", "offset_s = -60.000"),
    "1% slow": (timed(lambda t: t * 1.01), "behavior_clock", "49.505 Hz"),
    "1% fast": (timed(lambda t: t / 1.01), "behavior_clock", "50.5 Hz"),
    "half the rate": (timed(lambda t: t * 2), "behavior_clock", "25 Hz"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_behavior_that_cannot_be_decoded(
    case: str, spoiled: Callable[[Change], Path], tmp_path: Path
) -> None:
    change, name, said = FAULTS[case]
    path = spoiled(change)
    found = inspect_recording(path)
    assert [fault.fault for fault in found.faults] == [name]
    assert said in found.faults[0].text
    assert found.fit_for == ("pretrain",)
    shown = "\n".join(screen(found))
    assert "NOT FIT" in shown
    assert "pretrain" in shown
    data = DataConfig(behavior="behavior/Position/hand", target="velocity", window_s=1.0)
    with pytest.raises(ValueError, match=r"spoiled\.nwb"):
        prepare_session(path, tmp_path / "out", SignalConfig(preset="slow", bin_ms=20.0), data)
    assert not list((tmp_path / "out").glob("*"))


def without_behavior(file: h5py.File) -> None:
    del file["processing/behavior"], file["processing/ecephys/threshold_crossings"]


def of(spoiled: Callable[[Change], Path], change: Change) -> Inspection:
    return inspect_recording(spoiled(change))


def test_fit_for_what(spoiled: Callable[[Change], Path], clean_path: Path) -> None:
    assert inspect_recording(clean_path).fit_for == ("pretrain", "decode")
    found = of(spoiled, without_behavior)
    assert (found.fit, found.fit_for) == (True, ("pretrain",))
    assert "pretrain on without labels" in "\n".join(screen(found))
    found = of(spoiled, edited(np.zeros_like, LFP))
    assert (found.usable, found.fit_for) == (False, ())


def test_known_is_the_share_of_bins(spoiled: Callable[[Change], Path]) -> None:
    found = of(spoiled, edited(lambda x: np.where(np.arange(len(x)) < 4500, x.T, np.nan).T))
    assert found.fit
    assert found.behaviors[0].known == pytest.approx(0.75, abs=0.001)
    found = of(spoiled, edited(lambda x: x[:4500]))
    assert found.behaviors[0].known == pytest.approx(0.75, abs=0.001)
    assert any("75% known, 0.0 to 90.0 s" in line for line in screen(found))


@pytest.mark.parametrize("scale", [1000.0, 1e6, 250.0])
def test_samples_in_another_unit_of_time(scale: float, spoiled: Callable[[Change], Path]) -> None:
    found = of(spoiled, timed(lambda t: t * scale, LFP))
    assert [fault.fault for fault in found.faults] == ["time_unit"]
    guess = {1000.0: "1000", 1e6: "1e6", 250.0: "state the rate"}[scale]
    assert guess in found.faults[0].text
    assert found.fit_for == ()


def test_invalid_times_are_noted(spoiled: Callable[[Change], Path]) -> None:
    def change(file: h5py.File) -> None:
        table = file.create_group("intervals/invalid_times")
        table["start_time"], table["stop_time"] = [10.0], [25.0]

    found = of(spoiled, change)
    assert found.faults == ()
    assert found.behaviors[0].known == pytest.approx(105 / 120, abs=0.002)
    assert any("15.0 s" in note and "invalid_times" in note for note in found.notes)


def test_a_series_that_nobody_would_decode_may_be_useless(
    spoiled: Callable[[Change], Path],
) -> None:
    found = of(spoiled, edited(np.zeros_like, "processing/ecephys/threshold_crossings"))
    assert found.fit
    assert any("threshold_crossings cannot be used" in note for note in found.notes)


def test_the_inspection_is_shown_also_where_no_recipe_can_be_written(
    spoiled: Callable[[Change], Path], tmp_path: Path
) -> None:
    command = ["inspect", str(spoiled(edited(np.ones_like))), "--recipe", str(tmp_path / "a.toml")]
    done = CliRunner().invoke(app, command)
    assert "constant_behavior" in done.stdout
    assert isinstance(done.exception, ValueError)
    done = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(done.stdout)["fit_for"] == ["pretrain"]
    assert json.loads(done.stdout)["recipe"] is None
