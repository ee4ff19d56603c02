from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_cases import DATA, SIGNAL
from nwb_cases import HAND, LFP, Spoil

from realm.data import prepare as preparation
from realm.data import prepared_file
from realm.data.prepare import prepare_all, prepare_session
from realm.data.sessions import PreparedSession
from realm.recordings.open import find_recordings, open_recording
from realm.recordings.recording import Recording
from realm.signal import SignalConfig


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every number of a prepared file."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: (
                found.update({name: node[()]})
                if isinstance(node, h5py.Dataset) and node.dtype.kind in "fib"
                else None
            )
        )
    return found


def test_features_are_what_the_chain_gives_live(recording_path: Path, tmp_path: Path) -> None:
    session = PreparedSession.load(prepare_session(recording_path, tmp_path, SIGNAL, DATA))
    with open_recording(recording_path) as recording:
        live = session.chain.forward(recording.read(0, recording.n_samples))
    features = session.features(0, session.n_bins)
    assert features.dtype == np.float32
    assert features.shape == (6000, 5, len(session.band_names))
    np.testing.assert_allclose(features, live.values, atol=2e-4)
    np.testing.assert_allclose(session.filled(0, 6000), live.filled, atol=1e-6)
    train = features[slice(*session.splits["train"])]
    alive = [name not in session.chain.dead_channels for name in session.channel_names]
    settled = train[200:, alive]
    np.testing.assert_allclose(settled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(settled.std(axis=0), 1, atol=1e-3)
    assert (features[:, np.logical_not(alive)] == 0).all()


def test_dead_channels_are_found(prepared_dir: Path, simulated: object) -> None:
    session = PreparedSession.load(prepared_dir / "simA_day0.h5")
    dead = [session.channel_names[i] for i in np.flatnonzero(simulated.dead_channels)]  # type: ignore[attr-defined]
    assert list(session.chain.dead_channels) == dead


def test_block_size_changes_nothing(
    recording_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = arrays(prepare_session(recording_path, tmp_path / "whole", SIGNAL, DATA))
    read: list[int] = []
    plain_read = Recording.read

    def counted(self: Recording, start: int, stop: int) -> np.ndarray:
        read.append(stop - start)
        return plain_read(self, start, stop)

    monkeypatch.setattr(prepared_file, "BLOCK_VALUES", 5 * 777)
    monkeypatch.setattr(Recording, "read", counted)
    blocks = arrays(prepare_session(recording_path, tmp_path / "blocks", SIGNAL, DATA))
    assert whole.keys() == blocks.keys()
    for name in ("features/values", "features/filled", "behavior/values"):
        np.testing.assert_array_equal(whole[name], blocks[name])
    np.testing.assert_allclose(
        whole["chain/arrays/normalization_std"], blocks["chain/arrays/normalization_std"]
    )
    assert max(read[1:]) == 777  # the first read is the guard's

    monkeypatch.setattr(prepared_file, "GUARD_VALUES", 5 * 640)
    read.clear()
    prepare_session(recording_path, tmp_path / "small", SIGNAL, DATA)
    assert max(read) == 777


def test_statistics_know_training_time_only(
    recording_path: Path, spoil: Spoil, tmp_path: Path
) -> None:
    def another_future(file: h5py.File) -> None:
        rng = np.random.default_rng(1)
        file[f"{LFP}/data"][10500:] = rng.integers(-30000, 30000, (4500, 5))
        file[f"{HAND}/data"][2150:] = 1.0

    before = PreparedSession.load(prepare_session(recording_path, tmp_path / "a", SIGNAL, DATA))
    after = PreparedSession.load(
        prepare_session(spoil(another_future), tmp_path / "b", SIGNAL, DATA)
    )
    train = before.splits["train"]
    np.testing.assert_array_equal(before.features(*train), after.features(*train))
    for one, other in zip(before.behavior(*train), after.behavior(*train), strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = before.chain.save_state(), after.chain.save_state()
    assert first[0] == second[0]
    for name, value in first[1].items():
        np.testing.assert_array_equal(value, second[1][name])
    test = before.splits["test"]
    assert (before.features(*test) != after.features(*test)).any()


def test_prepared_again_only_if_something_changed(recording_path: Path, tmp_path: Path) -> None:
    def stamp() -> int:
        return path.stat().st_mtime_ns

    path = prepare_session(recording_path, tmp_path, SIGNAL, DATA)
    first = stamp()
    prepare_session(recording_path, tmp_path, SIGNAL, DATA)
    assert stamp() == first
    prepare_session(recording_path, tmp_path, SignalConfig(smoothing_ms=40.0), DATA)
    second = stamp()
    assert second != first
    path.write_bytes(path.read_bytes()[:1000])
    prepare_session(recording_path, tmp_path, SignalConfig(smoothing_ms=40.0), DATA)
    assert PreparedSession.load(path).n_bins == 6000


def test_provenance(recording_path: Path, prepared_dir: Path) -> None:
    session = PreparedSession.load(prepared_dir / "simA_day0.h5")
    assert session.provenance["settings"]["signal"] == SIGNAL.to_dict() | {"slow_hz": [0.3, 45.0]}
    assert session.provenance["settings"]["data"] == DATA.model_dump(mode="json")
    assert len(session.provenance["input_sha256"]) == 64


def test_many_at_once_and_one_that_fails(
    recording_path: Path, spoil: Spoil, tmp_path: Path
) -> None:
    def rename(file: h5py.File) -> None:
        file["general/session_id"][()] = "simA_day7"
        del file["processing/ecephys/LFP"]

    bad, out = spoil(rename), tmp_path / "out"
    with pytest.raises(ValueError, match="1 of 2 recordings could not be prepared") as caught:
        prepare_all([bad, recording_path], out, SIGNAL, DATA, workers=1)
    assert str(bad) in str(caught.value)
    assert [path.name for path in out.glob("*")] == ["simA_day0.h5"]
    assert prepare_all([recording_path], out, SIGNAL, DATA) == [out / "simA_day0.h5"]


def test_two_recordings_with_one_session_id(recording_path: Path, tmp_path: Path) -> None:
    again = shutil.copy(recording_path, tmp_path / "again.nwb")
    with pytest.raises(ValueError, match=r"again\.nwb: expected a session id of its own"):
        prepare_all([recording_path, again], tmp_path, SIGNAL, DATA)


def test_find_recordings(recording_path: Path, tmp_path: Path) -> None:
    assert find_recordings(recording_path.parent) == [recording_path]
    with pytest.raises(ValueError, match="expected recordings"):
        find_recordings(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["processes", "cluster"])
def test_processes_and_cluster_give_the_same_files(
    way: str, prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "cluster":
        pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    source = Path(preparation.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    sources = find_recordings(prepared_dir / "nwb")
    made = prepare_all(sources, tmp_path, SIGNAL, DATA, workers=2, cluster=way == "cluster")
    for path in made:
        expected, found = arrays(prepared_dir / path.name), arrays(path)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(value, found[name])


def test_a_cluster_needs_its_extra(
    recording_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"cluster.*realm-lfp\[cluster\]"):
        prepare_all([recording_path], tmp_path, SIGNAL, DATA, cluster=True)
