"""A BIDS-iEEG data set written by mne-bids, with regions, bad channels and a physio table."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest

from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import find_recordings, open_recording
from realm.simulation.simulate import SimulatedSession


@pytest.fixture
def bids(session: SimulatedSession, tmp_path: Path) -> Path:
    """The data file of one run."""
    names = ["A1", "A2", "A3", "A4", "button"]
    info = mne.create_info(names, 500, ["ecog"] * 4 + ["misc"])
    data = np.vstack([session.lfp_uv.T * 1e-6, np.arange(30000) % 7 * 1e-6])
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.info["line_freq"] = 50
    raw.info["bads"] = ["A3"]
    place = mne_bids.BIDSPath(
        subject="07", session="02", task="reach", run="1", datatype="ieeg", root=tmp_path / "set"
    )
    mne_bids.write_raw_bids(
        raw, place, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
    )
    (path,) = (tmp_path / "set").rglob("*.vhdr")
    stem = path.name.removesuffix("_ieeg.vhdr")
    (table,) = path.parent.glob("*_electrodes.tsv")  # mne-bids knows no regions
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    regions = ["region", "M1", "M1", "S1", "n/a", "n/a"]
    table.write_text("\n".join(f"{a}\t{b}" for a, b in zip(lines, regions, strict=True)))
    rows = "\n".join(f"{x:.9f}\t{y:.9f}" for x, y in session.behavior.values)
    (path.parent / f"{stem}_recording-hand_physio.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    about = {"SamplingFrequency": 50, "StartTime": -0.4, "Columns": ["x", "y"]}
    about |= {"x": {"Units": "m"}, "y": {"Units": "m"}}
    (path.parent / f"{stem}_recording-hand_physio.json").write_text(json.dumps(about))
    return path


def test_bids(bids: Path, session: SimulatedSession, tmp_path: Path) -> None:
    assert find_recordings(tmp_path) == [bids]
    with open_recording(bids) as recording:
        assert recording.subject == "07"
        assert recording.session_id == "sub-07_ses-02_task-reach_run-1"
        assert recording.channel_names == ("A1", "A2", "A3", "A4")
        assert recording.regions == ("M1", "M1", "S1", "")
        assert recording.bad_channels == (False, False, True, False)
        part = recording.read(50, 250) * 1e6
        np.testing.assert_allclose(part, session.lfp_uv[50:250], atol=0.06)
        name = "sub-07_ses-02_task-reach_run-1_recording-hand_physio"
        hand = recording.behavior(name)
        np.testing.assert_allclose(hand.values, session.behavior.values, atol=1e-8)
        np.testing.assert_allclose(hand.timestamps_s, session.behavior.timestamps_s - 0.4)
        assert (hand.unit, hand.names) == ("m", ("x", "y"))
        assert set(recording.behavior_paths()) == {"button", name}
        assert len(recording.files) == 7


def test_channels_that_the_table_does_not_name_are_a_fault(bids: Path) -> None:
    (table,) = bids.parent.glob("*_channels.tsv")
    table.write_text(table.read_text(encoding="utf-8-sig").replace("A2", "B2"))
    with pytest.raises(RecordingFaultError, match="1 are not there: A2") as caught:
        open_recording(bids)
    assert caught.value.fault == "electrodes"


def test_a_physio_table_that_lacks_its_clock(bids: Path) -> None:
    (about,) = bids.parent.glob("*_physio.json")
    about.write_text("{}")
    with (
        open_recording(bids) as recording,
        pytest.raises(ValueError, match="SamplingFrequency"),
    ):
        recording.behavior("sub-07_ses-02_task-reach_run-1_recording-hand_physio")
