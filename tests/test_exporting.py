"""Recordings as files for a rig: the same samples, and the behavior as it is decoded."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from streaming.streaming_cases import bundle
from typer.testing import CliRunner

from realm import cli
from realm.data.behavior import align
from realm.decoder.exporting import choose_recipe, export_recording, recipe_of
from realm.files import write_json
from realm.live.sources import SourceEndedError
from realm.live.sources.recording_file import RecordingFile
from realm.live.sources.replay import ReplaySource
from realm.recipe import load_recipe
from realm.recordings.open import open_recording
from realm.signal.binning import Binning
from realm.streaming import Bundle

LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"


def test_samples_and_times_are_those_of_the_recording(
    recordings: list[Path], tmp_path: Path
) -> None:
    made = export_recording(recordings[0], tmp_path / "r.safetensors")
    with (
        open_recording(recordings[0]) as source,
        RecordingFile.open(tmp_path / "r.safetensors") as copy,
    ):
        expected = source.read(0, source.n_samples)
        found = copy.read(0, copy.n_samples)
        np.testing.assert_array_equal(found.samples, expected.astype(np.float32))
        at = source.start_s + np.arange(source.n_samples) / source.sampling_rate_hz
        np.testing.assert_allclose(found.times_s, at, atol=1e-9)
        assert copy.info.channel_names == source.channel_names
        assert (copy.info.unit, copy.info.session_id) == ("V", source.session_id)
        assert copy.uniform
        assert copy.truth is None
    assert made == (source.session_id, source.n_samples, source.n_channels, (), 0.0)


def test_a_gap_is_stored_as_missing_samples(recordings: list[Path], tmp_path: Path) -> None:
    spoilt = tmp_path / "gap.nwb"
    shutil.copy(recordings[0], spoilt)
    with h5py.File(spoilt, "r+") as file:
        series = file[LFP]
        rate = float(series["starting_time"].attrs["rate"])
        times = np.arange(len(series["data"])) / rate
        times[5000:] += 0.25
        del series["starting_time"]
        series.create_dataset("timestamps", data=times)
    export_recording(spoilt, tmp_path / "r.safetensors")
    with RecordingFile.open(tmp_path / "r.safetensors") as copy:
        missing = np.isnan(copy.read(0, copy.n_samples).samples).all(axis=1)
        assert copy.uniform
    gap = round(0.25 * rate)
    assert np.flatnonzero(missing).tolist() == list(range(5000, 5000 + gap))


def test_a_replay_gives_each_bin_the_target_that_training_would(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(small_recipe, ["signal.bin_ms=17.0"])  # divides nothing
    made = export_recording(recordings[1], tmp_path / "r.safetensors", recipe)
    with open_recording(recordings[1]) as source:
        binning = Binning(17.0, source.sampling_rate_hz, 1, 1)
        n_bins = binning.n_bins(source.n_samples)
        series = source.behavior(recipe.data.behavior)
        expected = align(series, "velocity", 0.0, 17.0, n_bins, source.start_s)
    assert made.behavior_names == expected.names
    assert made.known_share == expected.mask.mean()
    replay, truth = ReplaySource(tmp_path / "r.safetensors", speed=np.inf), []
    replay.open()
    try:
        while (block := replay.read(0.0)) is not None:
            assert block.behavior is not None
            truth.append(block.behavior)
    except SourceEndedError:
        pass
    last = [binning.end(k + 1) - 1 for k in range(n_bins)]  # of the samples of bin k
    found = np.concatenate(truth)[last]
    assert expected.mask.any()
    np.testing.assert_array_equal(found[expected.mask], expected.values[expected.mask])
    assert np.isnan(found[~expected.mask]).all()


def test_behavior_that_is_unknown_throughout_is_refused(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "late.nwb"
    shutil.copy(recordings[0], spoilt)
    with h5py.File(spoilt, "r+") as file:
        series = file[HAND]
        length = len(series["data"])
        if "starting_time" in series:
            series["starting_time"][()] = 1e5
        else:
            series["timestamps"][:] = 1e5 + np.arange(length) / 100
    with pytest.raises(ValueError, match=r"late\.nwb.*one clock"):
        export_recording(spoilt, tmp_path / "r.safetensors", load_recipe(small_recipe))
    assert not (tmp_path / "r.safetensors").exists()


def test_the_recipe_is_found_in_a_bundle_a_decoder_and_a_run(
    small_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(small_recipe)
    facts = {"recipe": recipe.resolved()}
    Bundle(**{**vars(bundle()), "provenance": facts}).save(tmp_path / "bundle")
    write_json(tmp_path / "run" / "seed0" / "model" / "decoder.json", facts)
    for folder in ("bundle", "run/seed0/model", "run"):
        assert recipe_of(tmp_path / folder) == recipe
    with pytest.raises(ValueError, match="a bundle, of a saved decoder or of a run"):
        recipe_of(tmp_path)


def test_a_model_or_a_recipe_not_both(small_recipe: Path, tmp_path: Path) -> None:
    assert choose_recipe(None, None) is None
    assert choose_recipe(None, str(small_recipe)) == load_recipe(small_recipe)
    with pytest.raises(ValueError, match="leave the other out"):
        choose_recipe(tmp_path, str(small_recipe))


def test_the_command(recordings: list[Path], small_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.safetensors"
    arguments = ["export", str(recordings[0]), "--out", str(out), "--recipe", str(small_recipe)]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    assert "velocity_x, velocity_y known in" in done.output
    with RecordingFile.open(out) as found:
        assert found.info.behavior_unit == "meters/s"
