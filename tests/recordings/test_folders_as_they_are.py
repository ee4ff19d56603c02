"""Folders with what systems and data sets leave in them, and paths of the wrong kind."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from every_format import HAND, NAMES, WRITERS, bids, edf, nwb, open_ephys

from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import find_recordings, open_recording

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(4000)


@pytest.mark.parametrize("kind", ["nwb", "edf", "axona", "npz"])
def test_files_of_macos_are_passed_over(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    for file in list(tmp_path.iterdir()):
        file.with_name(f"._{file.name}").write_bytes(APPLE_DOUBLE)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert not [file for file in recording.files if file.name.startswith("._")]


def test_derived_data_of_bids_are_passed_over(tmp_path: Path) -> None:
    path = bids(tmp_path)
    for folder in ("derivatives/clean", "sourcedata", "code", "stimuli"):
        shutil.copytree(tmp_path / "sub-01", tmp_path / folder / "sub-01")
    assert find_recordings(tmp_path) == [path]
    named = tmp_path / "derivatives" / "clean"
    (found,) = find_recordings(named)
    assert found.is_relative_to(named)


def test_a_folder_called_derivatives_elsewhere_is_read(tmp_path: Path) -> None:
    (tmp_path / "derivatives").mkdir()
    path = edf(tmp_path / "derivatives")
    assert find_recordings(tmp_path) == [path]


def test_one_recording_instead_of_a_folder(tmp_path: Path) -> None:
    path = edf(tmp_path)
    assert find_recordings(path) == [path]
    oebin = open_ephys(tmp_path / "oe")
    assert find_recordings(oebin.parent) == [oebin]
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"notes\.txt: expected a folder of recordings or a rec"):
        find_recordings(tmp_path / "notes.txt")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone: expected recordings .*it is not there"):
        find_recordings(tmp_path / "gone")


def test_a_folder_instead_of_one_recording(tmp_path: Path) -> None:
    edf(tmp_path)
    with pytest.raises(ValueError, match=r"expected one recording, found a folder with day\.edf"):
        open_recording(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected one recording, found a folder"):
        open_recording(tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["a.nwb", "a.edf", "a.vhdr", "a.ns3", "a.plx", "a.smr", "a.oebin", "a.set", "a.mat"]
)
def test_a_folder_with_the_name_of_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(ValueError, match=rf"{name}: expected .*folder"):
        open_recording(tmp_path / name)


HOLD = "import h5py, sys, time; f = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); input()"


@pytest.mark.parametrize("kind", ["nwb", "matlab73", "hdf5", "torch_brain"])
def test_a_file_that_another_program_writes(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        with pytest.raises(ValueError, match=rf"{path.name}: expected .*in use"):
            open_recording(path)
    finally:
        holder.communicate(b"\n", timeout=30)
    with open_recording(path) as recording:
        assert recording.n_channels == 3


def physio(path: Path, more: str = "") -> Path:
    stem = path.name.removesuffix("_ieeg.edf")
    table = path.with_name(f"{stem}{more}_physio.tsv.gz")
    table.write_bytes(gzip.compress("\n".join(f"{x}\t{y}" for x, y in HAND).encode()))
    return table


def test_json_files_of_bids_are_inherited_and_merged(tmp_path: Path) -> None:
    path = bids(tmp_path)
    with open_recording(path) as recording:
        hand = recording.behavior("sub-01_ses-02_task-reach_physio")
    assert (hand.unit, hand.names, hand.timestamps_s[0]) == ("cm", ("x", "y"), 0.0)
    (tmp_path / "sub-01" / "sub-01_task-reach_physio.json").write_text('{"StartTime": -1.5}')
    with open_recording(path) as recording:
        hand = recording.behavior("sub-01_ses-02_task-reach_physio")
    assert hand.timestamps_s[0] == -1.5
    (tmp_path / "sub-02").mkdir()  # of others: they do not apply
    (tmp_path / "task-rest_physio.json").write_text('{"StartTime": 7}')
    (tmp_path / "sub-02" / "sub-02_physio.json").write_text('{"StartTime": 7}')
    with open_recording(path) as recording:
        hand = recording.behavior("sub-01_ses-02_task-reach_physio")
    assert hand.timestamps_s[0] == -1.5


def test_tables_of_bids_are_inherited(tmp_path: Path) -> None:
    path = bids(tmp_path)
    (table,) = path.parent.glob("*_channels.tsv")
    (regions,) = path.parent.glob("*_electrodes.tsv")
    text = table.read_text().replace("A2\tSEEG\tuV\tgood", "A2\tseeg\tuV\tBad ")
    table.unlink()
    (path.parents[1] / "sub-01_ses-02_task-reach_channels.tsv").write_text(text)
    regions.rename(path.parents[2] / "sub-01_electrodes.tsv")
    with open_recording(path) as recording:
        assert recording.channel_names == tuple(NAMES)
        assert recording.bad_channels == (False, True, False)
        assert recording.regions == ("M0", "M1", "M2")


def test_tables_of_another_run_do_not_belong_to_this_one(tmp_path: Path) -> None:
    path = bids(tmp_path)
    other = path.rename(path.with_name("sub-01_ses-02_task-reach_run-1_ieeg.edf"))
    tables = [physio(other), physio(path.with_name("sub-01_ses-02_task-reach_run-10_ieeg.edf"))]
    tables.append(physio(other, "_recording-hand"))
    with open_recording(other) as recording:
        series = {name for name in recording.behavior_paths() if name.endswith("_physio")}
    assert series == {t.name.removesuffix(".tsv.gz") for t in (tables[0], tables[2])}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("task-reach_physio.json", "{"),
        ("task-reach_physio.json", "[1]"),
        ("task-reach_physio.json", json.dumps({"SamplingFrequency": 0, "StartTime": 0})),
    ],
)
def test_a_damaged_sidecar_is_named(name: str, text: str, tmp_path: Path) -> None:
    path = bids(tmp_path)
    (tmp_path / name).write_text(text)
    with open_recording(path) as recording, pytest.raises(ValueError, match="physio"):
        recording.behavior("sub-01_ses-02_task-reach_physio")


def test_a_channel_that_a_table_names_twice(tmp_path: Path) -> None:
    path = bids(tmp_path)
    (table,) = path.parent.glob("*_channels.tsv")
    table.write_text(table.read_text() + "\nA1\tEMG\tuV\tgood")
    with pytest.raises(RecordingFaultError, match="A1 more than once") as caught:
        open_recording(path)
    assert caught.value.fault == "electrodes"


def test_a_stray_nwb_file_is_refused_by_name(tmp_path: Path) -> None:
    stray = nwb(tmp_path).with_name("._day.nwb")
    stray.write_bytes(APPLE_DOUBLE)
    with pytest.raises(ValueError, match=r"\._day\.nwb: expected an HDF5 file"):
        open_recording(stray)


def test_a_table_of_bids_begins_when_its_json_says(tmp_path: Path) -> None:
    from realm.data.usable import CHECKS

    path, name = bids(tmp_path), "sub-01_ses-02_task-reach_physio"
    (tmp_path / "sub-01" / "sub-01_task-reach_physio.json").write_text('{"StartTime": 2.0}')
    with open_recording(path) as recording:
        hand = recording.behavior(name)
        assert hand.timestamps_s[0] == 2.0
        for check in CHECKS:
            check(recording, name, hand)
