"""Every public dataset from files as its authors write them to a score of the main job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataset_files
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from typer.testing import CliRunner

from realm.cli import app
from realm.datasets.registry import DATASETS
from realm.evaluation.results import read_results
from realm.recordings.open import open_recording
from realm.recordings.recording import TimeSeries
from realm.recordings.write import BLOCK_VALUES, Samples, SessionContent, write_nwb

SMALL = [
    "pretrain.optimization.steps=2",
    "distill.optimization.steps=2",
    "pretrain.encoder.layers=1",
    "distill.encoder.layers=1",
    "pretrain.encoder.d_model=64",
    "distill.encoder.d_model=32",
    'baselines.methods=["ridge"]',
]


def called(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def prepared(name: str, write: Callable[[Path], None], folder: Path) -> Path:
    """The dataset's files and, beside them, the folder of its sessions."""
    data, out = folder / "data", folder / "out"
    data.mkdir()
    write(data)
    called("dataset", "prepare", name, "--data", data, "--out", out)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DATASETS))
def test_from_published_files_to_a_score(name: str, tmp_path: Path) -> None:
    out = prepared(name, dataset_files.WRITERS[name], tmp_path)
    overrides = [word for setting in SMALL for word in ("--set", setting)]
    called("run", out / f"{name}.toml", "--data", out, "--out", tmp_path / "run", *overrides)
    rows = read_results(tmp_path / "run" / "results.csv")
    scores = [row.r2 for row in rows if row.method == "ridge" and row.split == "test"]
    assert len(scores) == len(list(out.glob("*.nwb")))
    assert min(scores) > 0.6, scores


# What is in the sessions -------------------------------------------------------------------------


def test_broadband_and_cursor_of_makin_and_sabes(tmp_path: Path) -> None:
    out = prepared("makin-sabes", dataset_files.makin_sabes, tmp_path)
    with h5py.File(tmp_path / "data" / "indy_20160927_06.nwb") as file:
        stored = file["acquisition/timeseries/broadband/data"][1000:1100] * 1e-8
    with open_recording(out / "indy_20160927_06.nwb") as recording:
        assert (recording.subject, recording.session_id) == ("indy", "indy_20160927_06")
        assert recording.channel_names == ("M1 001", "M1 002", "M1 003", "S1 001")
        assert recording.regions == ("M1", "M1", "M1", "S1")
        assert recording.sampling_rate_hz == pytest.approx(24414.0625, abs=1e-3)
        assert recording.start_s == 100.0
        assert recording.sample_bits == 16
        np.testing.assert_allclose(recording.read(1000, 1100), stored, rtol=1e-12)
        cursor = recording.behavior("behavior/cursor")
        finger = recording.behavior("behavior/finger")
    assert (cursor.unit, finger.unit) == ("mm", "mm")
    np.testing.assert_array_equal(cursor.timestamps_s, 100 + np.arange(16500) / 250)
    truth = 50 * dataset_files.wander(cursor.timestamps_s, 2, 1)[0]
    np.testing.assert_allclose(cursor.values, truth, atol=1e-12)
    np.testing.assert_allclose(finger.values[:, :2], truth, atol=1e-12)
    np.testing.assert_allclose(finger.values[:, 2], 30.0)
    with h5py.File(out / "indy_20160927_06.nwb") as file:
        source = json.loads(file["general/notes"][()])["source"]
        assert file["session_start_time"][()].decode().startswith("2016-09-27")
    assert set(source["sha256"]) == {"indy_20160927_06.nwb", "indy_20160927_06.mat"}
    assert (source["dataset"], source["licence"]) == ("makin-sabes", "CC BY 4.0")


def test_trials_of_flint_keep_their_clock_and_what_lies_between_is_missing(tmp_path: Path) -> None:
    out = prepared("flint-2012", dataset_files.flint_2012, tmp_path)
    with open_recording(out / "monkeyC_e2_1.nwb") as recording:
        assert recording.channel_names == ("neuron1", "neuron2", "neuron5")
        assert (recording.sampling_rate_hz, recording.start_s) == (2000.0, 20.0)
        samples = recording.read(0, recording.n_samples)
        hand = recording.behavior("behavior/hand_velocity")
    missing = np.isnan(samples).all(axis=1)
    pause = np.flatnonzero(missing) / 2000
    assert missing.sum() == 5 * 1000
    assert (pause[0], pause[999]) == (11.0, 11.4995)
    again = int(11.5 * 2000)  # the first sample of the second trial
    fast = 31.5 + np.arange(22000) / 2000
    truth = dataset_files.field(dataset_files.wander(fast, 2, 2)[1], 3, 2, 5.0)
    np.testing.assert_allclose(samples[again : again + 100], truth[:100], rtol=1e-5)
    known = dataset_files.wander(hand.timestamps_s, 2, 2)[1]
    np.testing.assert_allclose(hand.values, known, atol=1e-12)
    assert hand.unit == "arbitrary"


@pytest.mark.parametrize(
    "write", [dataset_files.gallego_chowdhury, dataset_files.gallego_chowdhury_v73]
)
def test_band_power_comes_with_its_bands_and_pauses(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    out = prepared("gallego-chowdhury", write, tmp_path)
    trials = dataset_files.reach_trials()
    with open_recording(out / "Chewie_CO_CS_2016-10-21.nwb") as recording:
        assert recording.channel_names == (
            "M1_1_0.5-5Hz",
            "M1_1_100-200Hz",
            "M1_2_0.5-5Hz",
            "M1_2_100-200Hz",
        )
        assert set(recording.regions) == {"M1"}
        assert recording.subject == "Chewie"
        assert recording.sampling_rate_hz == 100.0
        samples = recording.read(0, 700)
        velocity = recording.behavior("behavior/vel")
        assert recording.behavior("behavior/pos").unit == "cm"
    np.testing.assert_allclose(samples[:300], trials[0]["M1_lfp"], rtol=1e-6)
    assert np.isnan(samples[300:400]).all()
    np.testing.assert_allclose(samples[400:700], trials[1]["M1_lfp"], rtol=1e-6)
    assert velocity.unit == "cm/s"
    np.testing.assert_allclose(velocity.timestamps_s[[0, 299, 300]], [0.01, 3.0, 4.01])
    np.testing.assert_allclose(velocity.values[300:600], trials[1]["vel"])


def test_pose_of_ajile12_is_in_pixels_and_the_wrist_is_that_of_its_events(tmp_path: Path) -> None:
    out = prepared("ajile12", dataset_files.ajile12, tmp_path)
    with open_recording(out / "sub-01_ses-3.nwb") as recording:
        assert recording.subject == "01"
        assert recording.bad_channels == (False, False, False, True)
        assert recording.sampling_rate_hz == 500.0
        assert np.std(recording.read(0, 5000)) == pytest.approx(2e-5 * 1.7, rel=0.5)  # volts
        wrist = recording.behavior("behavior/contralateral_wrist")
        right = recording.behavior("behavior/R_Wrist")
        assert "behavior/L_Wrist" in recording.behavior_paths()
    assert wrist.unit == "pixels"
    np.testing.assert_allclose(wrist.timestamps_s[:3], np.arange(3) / 30)
    np.testing.assert_array_equal(wrist.values, right.values)


def test_the_glove_of_the_competition_has_its_own_rate(tmp_path: Path) -> None:
    out = prepared("bci4-fingers", dataset_files.bci4_fingers, tmp_path)
    assert sorted(path.stem for path in out.glob("*.nwb")) == ["sub1_test", "sub1_train"]
    raw = loadmat(next((tmp_path / "data").rglob("sub1_comp.mat")))
    with open_recording(out / "sub1_test.nwb") as recording:
        np.testing.assert_allclose(
            recording.read(0, 50), raw["test_data"][:50] * 0.0298e-6, rtol=1e-12
        )
        fingers = recording.behavior("behavior/fingers")
        assert recording.subject == "sub1"
    np.testing.assert_allclose(fingers.timestamps_s, np.arange(len(fingers.values)) / 25)
    truth = 1 + dataset_files.wander(fingers.timestamps_s, 5, 7)[1]
    np.testing.assert_allclose(fingers.values, truth, atol=1e-6)


def test_units_of_the_amplifier_become_volts_and_codes_regions(tmp_path: Path) -> None:
    out = prepared("stanford-fingers", dataset_files.stanford_fingers, tmp_path)
    raw = loadmat(next((tmp_path / "data").rglob("*.mat")))
    with open_recording(out / "bp_fingerflex.nwb") as recording:
        assert recording.regions == (
            "dorsal M1",
            "dorsal M1",
            "dorsal S1",
            "ventral sensorimotor",
            "frontal",
            "temporal",
        )
        assert recording.sampling_rate_hz == 1000.0
        np.testing.assert_allclose(recording.read(0, 50), raw["data"][:50] * 0.0298e-6, rtol=1e-12)
        fingers = recording.behavior("behavior/fingers")
    np.testing.assert_array_equal(fingers.values, raw["flex"])


def test_rodents_from_the_archive_and_from_the_system(tmp_path: Path) -> None:
    for folder in ("mat", "axona"):
        (tmp_path / folder).mkdir()
    out = prepared("rodents", dataset_files.rodents, tmp_path / "mat")
    axona = prepared("rodents", dataset_files.rodents_axona, tmp_path / "axona")
    truth = dataset_files.run_about(np.arange(3300) / 50, 9)[0]
    with open_recording(out / "11015-13120410.nwb") as recording:
        assert (recording.channel_names, recording.subject) == (("eeg", "eg2"), "11015")
        assert recording.sampling_rate_hz == 250.0
        counts = recording.read(0, recording.n_samples) / 1e-6
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
        position = recording.behavior("behavior/position")
    assert position.unit == "cm"
    np.testing.assert_allclose(position.values, truth)
    with open_recording(axona / "11015-13120410.nwb") as recording:
        volts = recording.read(0, recording.n_samples)[:, 0]
        position = recording.behavior("behavior/position")
    np.testing.assert_allclose(volts, counts[:, 0] * 1.5 / 5000 / 128, rtol=1e-6)
    assert position.unit == "m"
    moved = position.values - position.values[0]
    np.testing.assert_allclose(moved, (truth - truth[0]) / 100, atol=2e-3)


def test_a_session_is_written_in_pieces(tmp_path: Path) -> None:
    """Whatever its length; here 3 million numbers in pieces of a million."""
    asked = []

    def read(first: int, stop: int) -> Any:
        asked.append((first, stop))
        return (np.arange(first, stop) % 30000).astype(np.int16)[:, None].repeat(2, axis=1)

    n = 1_500_000
    samples = Samples(
        ("a", "b"), ("", ""), (False, True), n, np.dtype(np.int16), 1e-6, read, rate_hz=30000.0
    )
    known = TimeSeries(np.arange(3) / 2, np.arange(3.0)[:, None], "cm", ("x",))
    content = SessionContent("s", "m", "Macaca mulatta", "long", samples, {"x": known})
    told: list[tuple[int, int]] = []
    path = write_nwb(tmp_path / "s.nwb", content, lambda done, whole: told.append((done, whole)))
    assert max(stop - first for first, stop in asked) * 2 <= BLOCK_VALUES
    assert len(asked) >= 3
    assert told[-1] == (n, n)
    with open_recording(path) as recording:
        assert recording.bad_channels == (False, True)
        for first in (0, 524_280, n - 9):
            found = recording.read(first, first + 9)
            truth = (np.arange(first, first + 9) % 30000) * 1e-6
            np.testing.assert_allclose(found[:, 1], truth)


# Preparing again, and what is not as it should be -------------------------------------------------


def test_prepared_again_only_what_changed(tmp_path: Path) -> None:
    out = prepared("rodents", dataset_files.rodents, tmp_path)
    data, again = tmp_path / "data", ("dataset", "prepare", "rodents", "--data", tmp_path / "data")
    session, recipe = out / "11015-13120410.nwb", out / "rodents.toml"
    before = session.stat().st_mtime_ns
    recipe.write_text(recipe.read_text() + "# mine\n")
    assert called(*again, "--out", out)["kept"] == 1
    assert session.stat().st_mtime_ns == before
    eeg = loadmat(data / "11015-13120410_EEG.mat")["EEG"]
    savemat(data / "11015-13120410_EEG.mat", {"EEG": -eeg})
    assert called(*again, "--out", out)["kept"] == 0
    with open_recording(session) as recording:
        np.testing.assert_allclose(recording.read(0, 9)[:, 0] * 1e6, -eeg[:9, 0])
    assert recipe.read_text().endswith("# mine\n")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    call = ["--data", str(data), "--out", str(tmp_path / "out")]
    dataset_files.rodents(data)
    said = CliRunner().invoke(app, ["dataset", "prepare", "rodents", *call]).output
    assert "1 files in" in said
    assert "11015-13120410_T1C1.mat" in said
    assert "one count is stored as a microvolt" in said  # a caveat of the dataset
    dataset_files.flint_2012(data)
    said = CliRunner().invoke(app, ["dataset", "prepare", "flint-2012", *call]).output
    assert "of 3 of 5 neurons" in said


def test_only_named_sessions_are_prepared(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    dataset_files.bci4_fingers(data)
    call = ("dataset", "prepare", "bci4-fingers", "--data", data, "--out", out)
    assert called(*call, "--only", "sub1_train")["sessions"] == [str(out / "sub1_train.nwb")]
    assert [path.name for path in out.glob("*.nwb")] == ["sub1_train.nwb"]
    assert "expected --only to name sessions" in refused(*call, "--only", "sub9")


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert isinstance(result.exception, ValueError), (result.output, result.exception)
    return str(result.exception)


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_folder_without_its_files_says_where_to_get_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    call = ("dataset", "prepare", name, "--data", tmp_path / "data")
    said = refused(*call, "--out", tmp_path / "out")
    dataset = DATASETS[name]
    assert (dataset.by_hand or f"realm dataset fetch {name}") in said


def drop(path: Path, name: str) -> None:
    """Remove an array from a MATLAB v5 file."""
    content = loadmat(path)
    savemat(path, {k: v for k, v in content.items() if k != name and not k.startswith("__")})


@pytest.mark.parametrize(
    ("name", "file", "array"),
    [
        ("stanford-fingers", "bp_fingerflex.mat", "flex"),
        ("bci4-fingers", "sub1_comp.mat", "train_dg"),
        ("rodents", "11015-13120410_POS.mat", "posx"),
        ("gallego-chowdhury", "Chewie_CO_CS_2016-10-21.mat", "trial_data"),
        ("flint-2012", "Flint_2012_e2.mat", "Subject"),
    ],
)
def test_a_missing_array_is_named_and_nothing_half_made(
    name: str, file: str, array: str, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    dataset_files.WRITERS[name](data)
    drop(next(data.rglob(file)), array)
    said = refused("dataset", "prepare", name, "--data", data, "--out", out)
    assert array in said
    assert file in said
    assert {path.name for path in out.iterdir()} <= {"sub1_test.nwb"}  # that one is whole


def test_the_two_files_of_a_session_belong_together(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    dataset_files.makin_sabes(data)
    call = ("dataset", "prepare", "makin-sabes", "--data", data, "--out", tmp_path / "out")
    with h5py.File(data / "indy_20160927_06.nwb", "r+") as file:
        del file["acquisition/timeseries/broadband/timestamps"]
        file["acquisition/timeseries/broadband/timestamps"] = np.arange(100) / 24414.0625
    assert "expected 100 samples by channels" in refused(*call)
    (data / "indy_20160927_06.mat").unlink()
    assert "expected indy_20160927_06.mat beside it" in refused(*call)


def test_sessions_are_not_written_among_the_files_they_are_made_of(tmp_path: Path) -> None:
    call = ("dataset", "prepare", "ajile12", "--data", tmp_path)
    assert "expected a folder outside of" in refused(*call, "--out", tmp_path / "out")
    assert "expected a folder outside of" in refused(*call, "--out", tmp_path)
    assert not list(tmp_path.iterdir())
