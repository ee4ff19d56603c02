from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_cases import DATA, SIGNAL

from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession, PreparedSet
from realm.signal import SignalConfig


def test_a_part_is_the_part_of_the_whole(prepared: PreparedSet) -> None:
    session = prepared["simB_day0"]
    features, (behavior, mask) = session.features(0, 9000), session.behavior(0, 9000)
    for start, stop in ((0, 1), (17, 17), (1234, 2345), (8999, 9000)):
        np.testing.assert_array_equal(session.features(start, stop), features[start:stop])
        part, known = session.behavior(start, stop)
        np.testing.assert_array_equal(part, behavior[start:stop])
        np.testing.assert_array_equal(known, mask[start:stop])
    assert behavior.dtype == np.float32
    assert mask.dtype == bool
    with pytest.raises(ValueError, match="expected bins within 0 to 9000"):
        session.features(8000, 9001)


def test_what_a_session_says_of_itself(prepared: PreparedSet) -> None:
    session = prepared["simA_day1"]
    assert session.subject == "simA"
    assert session.channel_names == ("ch00", "ch01", "ch02", "ch03", "ch04")
    assert session.band_names == session.chain.band_names
    assert session.splits == {"train": (0, 4200), "validation": (4400, 4600), "test": (4800, 6000)}
    assert session.behavior_names == ("velocity_x", "velocity_y")
    assert session.behavior_unit == "meters/s"


def test_label_budget_counts_known_labels(prepared: PreparedSet, monkeypatch: object) -> None:
    session = prepared["simA_day0"]
    known = session.behavior(*session.splits["train"])[1]
    np.testing.assert_array_equal(session.training_labels(None), known)
    few = session.training_labels(3.0)
    assert few.sum() == 300
    assert (known[few]).all()
    assert np.flatnonzero(few)[-1] < np.flatnonzero(known & ~few)[0]
    assert session.training_labels(0.0).sum() == 0
    assert session.training_labels(float("inf")).sum() == known.sum()
    for budget in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="label budget"):
            session.training_labels(budget)


def test_a_set_is_sorted_and_knows_its_sessions(prepared: PreparedSet) -> None:
    assert [s.session_id for s in prepared] == ["simA_day0", "simA_day1", "simB_day0"]
    assert len(prepared) == 3
    with pytest.raises(ValueError, match="got 'simC'"):
        prepared["simC"]


def test_sessions_that_differ_are_listed(
    prepared_dir: Path, recording_path: Path, tmp_path: Path
) -> None:
    shutil.copy(prepared_dir / "simA_day1.h5", tmp_path)
    speed = DataConfig(behavior=DATA.behavior, target="speed", window_s=1.0)
    prepare_session(recording_path, tmp_path, SignalConfig(preset="slow"), speed)
    with pytest.raises(ValueError, match="2 kinds") as caught:
        PreparedSet.load(tmp_path)
    for words in ("simA_day0: 10 ms bins; bands slow; behavior speed", "simA_day1: 10 ms bins"):
        assert words in str(caught.value)


def test_one_session_twice(prepared_dir: Path) -> None:
    path = prepared_dir / "simA_day0.h5"
    with pytest.raises(ValueError, match="one file per session"):
        PreparedSet([PreparedSession.load(path), PreparedSession.load(path)])


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="realm run"):
        PreparedSet.load(tmp_path)


def test_truncated_foreign_and_outdated_files(prepared_dir: Path, tmp_path: Path) -> None:
    good = (prepared_dir / "simA_day0.h5").read_bytes()
    cut, text, foreign, old = (tmp_path / f"{name}.h5" for name in ("cut", "text", "other", "old"))
    cut.write_bytes(good[: len(good) // 2])
    text.write_text("hello")
    with h5py.File(foreign, "w") as file:
        file["x"] = [1, 2]
    old.write_bytes(good)
    with h5py.File(old, "r+") as file:
        del file["chain"]
    for path in (cut, text, foreign, old, tmp_path / "missing.h5"):
        with pytest.raises(ValueError, match=f"{path}: expected a (prepared )?session"):
            PreparedSession.load(path)


def test_prepared_with_other_settings_is_replaced(recording_path: Path, tmp_path: Path) -> None:
    for signal in (SIGNAL, SignalConfig(bin_ms=20.0)):
        path = prepare_session(recording_path, tmp_path, signal, DATA)
    assert PreparedSession.load(path).n_bins == 3000


@pytest.mark.parametrize(
    "name", ["features/values", "features/filled", "behavior/values", "chain/arrays/guard_scale"]
)
def test_a_number_that_was_changed_is_found(
    prepared: PreparedSet, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "changed.h5"
    shutil.copy(prepared["simA_day0"].path, path)
    PreparedSession.load(path)
    with h5py.File(path, "r+") as file:
        file[name][0] = np.nextafter(np.asarray(file[name][0]), np.inf, dtype=file[name].dtype)
    with pytest.raises(ValueError, match=r"changed\.h5.*SHA-256"):
        PreparedSession.load(path)


def test_a_file_of_an_earlier_version_has_no_hash_and_is_read(
    prepared: PreparedSet, tmp_path: Path
) -> None:
    path = tmp_path / "old.h5"
    shutil.copy(prepared["simA_day0"].path, path)
    with h5py.File(path, "r+") as file:
        del file["provenance"].attrs["content_sha256"]
    assert PreparedSession.load(path).n_bins == prepared["simA_day0"].n_bins
