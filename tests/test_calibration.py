"""The readout of a new session: chosen inside its labels, in closed form, or borrowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_recipe import SMALL_RECIPE

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.decoder.calibration import calibrate_decoder
from realm.decoder.decoder import Decoder
from realm.evaluation.metrics import mean_r2
from realm.progress import silent
from realm.recipe import load_recipe
from realm.stages import SeedRun
from realm.training.frozen import fit_to_session, latents_of

FROZEN = ["calibrate.readout=frozen"]
NO_LABELS = ["pretrain.task_weight=0", "distill.task_weight=0"]


@pytest.fixture(scope="module")
def saved(
    recordings: list[Path], small_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("model")
    Decoder(load_recipe(small_recipe)).fit(recordings[:1]).save_pretrained(folder)
    return folder


def test_a_frozen_readout_moves_the_head_alone(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    done = calibrate_decoder(recordings[1], saved, tmp_path, label_s=20.0, overrides=FROZEN)
    assert (done.readout, done.tried) == ("frozen", {})
    old, new = Decoder.from_pretrained(saved), Decoder.from_pretrained(tmp_path)
    before, after = old.student_.state_dict(), new.student_.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("head."))
    session = PreparedSession.load(next((tmp_path / "prepared").glob("*.h5")))
    readout = fit_to_session(latents_of(new.student_, session), session, 20.0)
    expected = readout(latents_of(new.student_, session))
    np.testing.assert_allclose(new.predict(recordings[1]), expected, atol=2e-3)
    assert not (tmp_path / "calibration").exists()


def test_what_was_tried_and_the_reason_are_said(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    done = calibrate_decoder(recordings[1], saved, tmp_path, label_s=20.0)
    assert {"other sessions", "frozen"} <= set(done.tried)
    assert done.readout in done.tried
    best = max(r2 for name, r2 in done.tried.items() if name != "trained")
    if done.readout == "trained":
        assert done.tried["trained"] > best
    assert all(f"{r2:.3f}" in done.reason for r2 in done.tried.values())


def test_labels_beyond_the_budget_change_nothing(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    changed = Path(shutil.copy(recordings[1], tmp_path / "changed.nwb"))
    changed.chmod(0o644)
    with h5py.File(changed, "r+") as file:
        hand = file["processing/behavior/Position/hand/data"]
        rate = hand.parent["starting_time"].attrs["rate"]
        hand[round(22 * rate) :] = hand[round(22 * rate) :][::-1]
    decoded = []
    for file_, out in ((recordings[1], tmp_path / "a"), (changed, tmp_path / "b")):
        calibrate_decoder(file_, saved, out, label_s=20.0)
        decoded.append(Decoder.from_pretrained(out).predict(recordings[1]))
    np.testing.assert_array_equal(*decoded)


def test_without_labels_the_head_of_the_other_sessions_decodes(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    done = calibrate_decoder(recordings[1], saved, tmp_path, label_s=0.0)
    assert done.readout == "other sessions"
    assert "no labels" in done.reason
    old, new = Decoder.from_pretrained(saved).student_, Decoder.from_pretrained(tmp_path).student_
    assert torch.equal(old.head.linear.weight, new.head.linear.weight)
    torch.testing.assert_close(new.head.scale("simA_day1"), old.head.scale("simA_day0"))


def test_a_decoder_that_never_saw_behavior_gets_its_head_here(
    recordings: list[Path], tmp_path: Path
) -> None:
    text = SMALL_RECIPE.replace('behavior = "behavior/Position/hand"\ntarget = "velocity"\n', "")
    (tmp_path / "bare.toml").write_text(text)
    recipe = load_recipe(tmp_path / "bare.toml", NO_LABELS)
    Decoder(recipe).fit(recordings[:1]).save_pretrained(tmp_path / "model")
    behavior = ["data.behavior=behavior/Position/hand", "data.target=velocity"]
    with pytest.raises(ValueError, match=r"--set data\.behavior=PATH"):
        calibrate_decoder(recordings[1], tmp_path / "model", tmp_path / "x")
    with pytest.raises(ValueError, match="no head yet"):
        calibrate_decoder(
            recordings[1], tmp_path / "model", tmp_path / "y", label_s=0.0, overrides=behavior
        )
    calibrate_decoder(
        recordings[1], tmp_path / "model", tmp_path / "z", label_s=30.0, overrides=behavior + FROZEN
    )
    decoder = Decoder.from_pretrained(tmp_path / "z")
    assert decoder.behavior_names_ == ("velocity_x", "velocity_y")
    assert decoder.behavior_unit_ == "meters/s"
    assert decoder.predict(recordings[1]).shape[1] == 2


def test_held_out_sessions_are_new_to_the_decoder(recordings: list[Path], tmp_path: Path) -> None:
    """Unseen: as if the file were not there. Seen: its signal is read, none of its labels."""
    (tmp_path / "r.toml").write_text(SMALL_RECIPE)

    def job(name: str, *changes: str, files: slice = slice(0, 3)) -> SeedRun:
        recipe = load_recipe(tmp_path / "r.toml", changes)
        prepared = [
            prepare_session(path, tmp_path / "p", recipe.signal, recipe.data)
            for path in recordings[files]
        ]
        return SeedRun(recipe, prepared, tmp_path / name, 0, silent())

    unseen = job("unseen", 'labels.held_out=["*_day1"]')
    assert [s.session_id for s in unseen.sessions] == ["simA_day0", "simB_day0"]
    seen = job("seen", 'labels.held_out=["*_day1"]', "labels.held_out_signal=seen")
    assert [s.session_id for s in seen.sessions] == ["simA_day0", "simA_day1", "simB_day0"]
    assert [s.session_id for s in seen.scored] == ["simA_day0", "simB_day0"]
    assert seen.own_labels == {"simA_day1": 0.0}
    assert not any(w.behavior_mask.any() for w in seen.source(8).batch(0) if "day1" in w.session_id)
    for pattern, message in (("nobody", "'nobody' fits none"), ("*", "at least one session")):
        with pytest.raises(ValueError, match=message):
            job("wrong", f'labels.held_out=["{pattern}"]')


def test_sessions_without_behavior_train_beside_others(
    recordings: list[Path], tmp_path: Path
) -> None:
    bare = Path(shutil.copy(recordings[1], tmp_path / "bare.nwb"))
    bare.chmod(0o644)
    with h5py.File(bare, "r+") as file:
        del file["processing/behavior"]
    (tmp_path / "r.toml").write_text(SMALL_RECIPE)
    recipe = load_recipe(tmp_path / "r.toml", ['data.unlabelled=["*_day1"]'])
    files = [
        prepare_session(path, tmp_path / "p", recipe.signal, recipe.data)
        for path in (recordings[0], bare)
    ]
    job = SeedRun(recipe, files, tmp_path / "run", 0, silent())
    first, second = job.sessions
    assert second.behavior_names == first.behavior_names
    assert not second.has_behavior
    assert [s.session_id for s in job.scored] == ["simA_day0"]
    student, _ = job.student(job.teacher()[0])
    decoded = student.head.behavior_dims
    assert decoded == 2
    truth, known = first.behavior(*first.splits["validation"])
    assert np.isfinite(mean_r2(truth, truth, known))
