"""`realm inspect`: its screen, its JSON, its exit codes, and a recipe that loads and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from realm.cli import app, main
from realm.inspection.content import behavior_of
from realm.inspection.inspection import inspect_recording
from realm.inspection.suggestion import suggest
from realm.recipe import load_recipe
from realm.recordings.open import open_recording

LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"


def test_a_clean_recording_fits(clean_path: Path) -> None:
    done = CliRunner().invoke(app, ["inspect", str(clean_path)])
    assert done.exit_code == 0
    assert "FIT: no fault found" in done.stdout
    assert "6 channels of 16 bits; M1 (simulated)" in done.stdout
    assert "120.0 s at 250 Hz" in done.stdout
    assert "line at 50.0 Hz" in done.stdout
    assert "velocity of behavior/Position/hand" in done.stdout


def test_json_is_one_object_with_everything(
    spoiled: Callable[[Callable[[h5py.File], None]], Path],
) -> None:
    path = spoiled(lambda file: file[f"{LFP}/data"].attrs.__setitem__("conversion", 1.0))
    done = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["fit"], found["usable"]) == (False, False)
    assert [fault["fault"] for fault in found["faults"]] == ["unit"]
    assert found["neural"]["channels"] == 6
    assert found["behaviors"][0]["path"] == "behavior/Position/hand"
    assert found["suggestion"]["target"] == "velocity"
    assert found["format"] == "NWB"


def test_a_fault_that_hides_everything_else_is_still_json(
    spoiled: Callable[[Callable[[h5py.File], None]], Path],
) -> None:
    path = spoiled(lambda file: file[f"{LFP}/data"].attrs.__setitem__("conversion", np.nan))
    done = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["faults"][0]["fault"] == "conversion"
    assert found["neural"] is None


@pytest.mark.parametrize("content", [None, b"not a recording"])
def test_what_cannot_be_read_ends_with_2(
    content: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "a.nwb"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["realm", "inspect", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_the_suggested_recipe_loads_and_runs(clean_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    done = CliRunner().invoke(app, ["inspect", str(clean_path), "--recipe", str(target)])
    assert done.exit_code == 0
    assert f"recipe: {target}" in done.stdout
    recipe = load_recipe(target)
    assert recipe.name == "mine"
    assert recipe.data.behavior == "behavior/Position/hand"
    assert recipe.signal.bands_hz["high_gamma"][1] <= 0.45 * 250
    small = [
        "pretrain.optimization.steps=2",
        "distill.optimization.steps=2",
        "pretrain.encoder.layers=1",
        "distill.encoder.layers=1",
        'baselines.methods=["ridge"]',
    ]
    options = [word for setting in small for word in ("--set", setting)]
    command = ["run", str(target), "--data", str(clean_path.parent), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, *options])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "results.csv").exists()


def test_a_recipe_needs_behavior(
    spoiled: Callable[[Callable[[h5py.File], None]], Path], tmp_path: Path
) -> None:
    def without(file: h5py.File) -> None:
        del file["processing/behavior"], file["processing/ecephys/threshold_crossings"]

    target = tmp_path / "mine.toml"
    done = CliRunner().invoke(app, ["inspect", str(spoiled(without)), "--recipe", str(target)])
    assert isinstance(done.exception, ValueError)
    assert "expected behavior to suggest a recipe for" in str(done.exception)
    assert not target.exists()


def test_another_behavior_can_be_chosen(clean_path: Path) -> None:
    command = ["inspect", str(clean_path), "--json", "--behavior"]
    done = CliRunner().invoke(app, [*command, "ecephys/threshold_crossings"])
    assert json.loads(done.stdout)["suggestion"]["target"] == "as_stored"
    done = CliRunner().invoke(app, [*command, "nothing"])
    assert "'nothing', found none" in str(done.exception)


def lag_ms(path: Path) -> float | None:
    with open_recording(path) as recording:
        content, series = behavior_of(recording, "behavior/Position/hand")
        assert series is not None
        found = suggest(recording, content, series).lag
    assert found is not None
    return found.lag_ms


def test_the_lag_follows_the_clock_of_behavior(
    clean_path: Path, spoiled: Callable[[Callable[[h5py.File], None]], Path]
) -> None:
    as_recorded = lag_ms(clean_path)
    assert as_recorded is not None
    later = lag_ms(spoiled(lambda file: file[f"{HAND}/starting_time"].write_direct(np.array(0.2))))
    assert later == pytest.approx(as_recorded + 200)


def test_a_lag_has_an_error(clean_path: Path) -> None:
    with open_recording(clean_path) as recording:
        content, series = behavior_of(recording, "behavior/Position/hand")
        assert series is not None
        found = suggest(recording, content, series).lag
    assert found is not None
    assert found.error_ms is not None
    assert 0 < found.error_ms <= 100
    assert found.other_ms is None


def test_behavior_that_repeats_has_no_lag(
    spoiled: Callable[[Callable[[h5py.File], None]], Path],
) -> None:
    """A hand that swings, and an amplitude that follows it: one period later is as likely."""

    def swinging(file: h5py.File) -> None:
        rng, data = np.random.default_rng(0), file[f"{LFP}/data"]
        t = np.arange(len(data)) / 250
        swing = np.sin(2 * np.pi * 2.5 * t)
        data[...] = (3000 * swing[:, None] + rng.normal(0, 500, data.shape)).astype("i2")
        at = np.arange(len(file[f"{HAND}/data"])) / 50
        file[f"{HAND}/data"][...] = 0.1 * np.sin(2 * np.pi * 2.5 * at)[:, None] * [1, 0.5]

    path = spoiled(swinging)
    assert lag_ms(path) is None
    found = inspect_recording(path)
    assert any("as likely" in note or "no clear lag" in note for note in found.notes)


def test_unrelated_behavior_has_no_lag(
    spoiled: Callable[[Callable[[h5py.File], None]], Path],
) -> None:
    def unrelated(file: h5py.File) -> None:
        steps = np.random.default_rng(3).normal(size=(6000, 2))
        smooth = np.apply_along_axis(lambda x: np.convolve(x, np.ones(50) / 50, "same"), 0, steps)
        file[f"{HAND}/data"][...] = 0.01 * np.cumsum(smooth, axis=0)

    assert lag_ms(spoiled(unrelated)) is None
