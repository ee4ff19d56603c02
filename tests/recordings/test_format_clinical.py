"""EDF, EDF+ with gaps and BrainVision with pauses, written by the libraries of these formats."""

from __future__ import annotations

import re
from pathlib import Path

import edfio
import numpy as np
import pybv
import pytest

from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import find_recordings, open_recording
from realm.simulation.simulate import SimulatedSession

NAMES = ["A1", "A2", "A3", "A4"]


def write_edf(path: Path, session: SimulatedSession) -> Path:
    lfp = [
        edfio.EdfSignal(session.lfp_uv[:, i], 500, label=name, physical_dimension="uV")
        for i, name in enumerate(NAMES)
    ]
    hand = edfio.EdfSignal(
        session.behavior.values[:, 0] * 100, 50, label="hand", physical_dimension="cm"
    )
    edfio.Edf([*lfp, hand], annotations=[edfio.EdfAnnotation(0, None, "start")]).write(path)
    return path


def cut_records(path: Path, first: int, stop: int) -> None:
    """Remove data records and say so, as a discontinuous EDF+ file does."""
    content = path.read_bytes()
    head, n_signals = int(content[184:192]), int(content[252:256])
    places = 256 + 216 * n_signals
    counts = [int(content[places + 8 * i : places + 8 * i + 8]) for i in range(n_signals)]
    size, n = 2 * sum(counts), int(content[236:244])
    header = bytearray(content[:head])
    header[192:197] = b"EDF+D"
    header[236:244] = str(n - (stop - first)).ljust(8).encode()
    body = content[head : head + first * size] + content[head + stop * size :]
    path.write_bytes(bytes(header) + body)


def test_edf(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert recording.channel_names == tuple(NAMES)
        assert (recording.sampling_rate_hz, recording.n_samples) == (500, 30000)
        step = np.ptp(session.lfp_uv) / 65535
        part = recording.read(1000, 1500) * 1e6
        np.testing.assert_allclose(part, session.lfp_uv[1000:1500], atol=step)
        hand = recording.behavior("hand")
        np.testing.assert_allclose(
            hand.values[:, 0], session.behavior.values[:, 0] * 100, atol=0.01
        )
        np.testing.assert_allclose(hand.timestamps_s, np.arange(3000) / 50)
        assert hand.unit == "cm"


def test_records_missing_from_edf_are_a_gap(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    cut_records(path, 20, 23)
    with open_recording(path) as recording:
        assert recording.n_samples == 30000
        x = recording.read(0, 30000)
        missing = np.flatnonzero(np.isnan(x).all(axis=1))
        np.testing.assert_array_equal(missing, np.arange(10000, 11500))
        np.testing.assert_allclose(x[11500:12000] * 1e6, session.lfp_uv[11500:12000], atol=0.1)
        assert len(recording.behavior("hand").values) == 57 * 50


def late_records(path: Path, every_s: float) -> None:
    """EDF+D whose records of 1 s begin every `every_s`."""
    content = bytearray(path.read_bytes())
    head, n_signals = int(content[184:192]), int(content[252:256])
    places = 256 + 216 * n_signals
    counts = [int(content[places + 8 * i : places + 8 * i + 8]) for i in range(n_signals)]
    content[192:197] = b"EDF+D"
    for record in range(int(content[236:244])):
        at = head + record * 2 * sum(counts) + 2 * sum(counts[:-1])  # annotations are last
        said = f"+{record * every_s:.4f}".encode() + b"\x14\x14\x00"
        content[at : at + 2 * counts[-1]] = said.ljust(2 * counts[-1], b"\0")
    path.write_bytes(content)


@pytest.mark.parametrize("every_s", [1.0007, 1.008, 1.5])
def test_signals_of_all_rates_share_the_pauses_of_edf(
    every_s: float, session: SimulatedSession, tmp_path: Path
) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    late_records(path, every_s)
    with open_recording(path) as recording:
        end_s = recording.start_s + recording.n_samples / recording.sampling_rate_hz
        times = recording.behavior("hand").timestamps_s
        assert end_s == pytest.approx(59 * every_s + 1, abs=0.002)
        np.testing.assert_allclose(times[::50], every_s * np.arange(60), atol=1e-3)


def test_records_that_come_too_fast_contradict_the_rate(
    session: SimulatedSession, tmp_path: Path
) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    late_records(path, 0.998)
    with pytest.raises(RecordingFaultError, match="501") as caught:
        open_recording(path)
    assert caught.value.fault == "wrong_rate"


def test_behavior_of_edf_without_a_range_is_a_fault(
    session: SimulatedSession, tmp_path: Path
) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    content = bytearray(path.read_bytes())
    n_signals = int(content[252:256])
    low, high = (256 + offset * n_signals + 8 * 4 for offset in (104, 112))
    content[high : high + 8] = content[low : low + 8]
    path.write_bytes(content)
    with (
        open_recording(path) as recording,
        pytest.raises(RecordingFaultError, match="hand") as caught,
    ):
        recording.behavior("hand")
    assert caught.value.fault == "conversion"


def test_signals_of_one_label_are_all_kept(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", session)
    edf = edfio.read_edf(path)
    hand = session.behavior.values
    twice = [
        edfio.EdfSignal(hand[:, i] * 100, 50, label="hand", physical_dimension="cm") for i in (0, 1)
    ]
    edfio.Edf([*edf.signals[:4], *twice]).write(path)
    with open_recording(path) as recording:
        assert recording.channel_names == tuple(NAMES)
        assert recording.behavior_paths() == ["hand_1", "hand_2"]
        found = recording.behavior("hand_2").values[:, 0]
        np.testing.assert_allclose(found, hand[:, 1] * 100, atol=0.01)


def write_brainvision(folder: Path, session: SimulatedSession, name: str = "a") -> Path:
    data = np.vstack([session.lfp_uv.T * 1e-6, session.lfp_uv[:, 0] * 1e-6])
    pybv.write_brainvision(
        data=data,
        sfreq=500,
        ch_names=[*NAMES, "joystick"],
        fname_base=name,
        folder_out=folder,
        unit="µV",
        resolution=0.01,
    )
    return folder / f"{name}.vhdr"


def pause(path: Path, stamp: str) -> None:
    """A second segment from sample 20001 on."""
    markers = path.with_suffix(".vmrk")
    text = markers.read_text(encoding="utf-8")
    first = re.search(r"^Mk1=New Segment.*$", text, re.MULTILINE)
    begin = "Mk1=New Segment,,1,1,0,20260102100000000000"
    second = f"Mk2=New Segment,,20001,1,0{stamp}"
    text = text.replace(first[0], f"{begin}\n{second}") if first else f"{text}{begin}\n{second}\n"
    markers.write_text(text, encoding="utf-8")


def test_brainvision(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, session)
    (tmp_path / "a.toml").write_text("""
subject = "P1"
behavior.stick = { channels = ["joystick"], gain = 1e6, unit = "deg", offset_s = -0.1 }
""")
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert (recording.session_id, recording.subject) == ("P1_a", "P1")
        assert recording.channel_names == tuple(NAMES)
        np.testing.assert_allclose(recording.read(7, 90) * 1e6, session.lfp_uv[7:90], atol=0.006)
        stick = recording.behavior("stick")
        np.testing.assert_allclose(stick.values[:, 0], session.lfp_uv[:, 0], atol=0.006)
        assert stick.timestamps_s[0] == -0.1
        assert {f.suffix for f in recording.files} == {".vhdr", ".eeg", ".vmrk", ".toml"}


def test_a_pause_of_brainvision_is_a_gap(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, session)
    pause(path, ",20260102100041500000")
    with open_recording(path) as recording:
        assert recording.n_samples == 30750
        missing = np.flatnonzero(np.isnan(recording.read(0, 30750)).all(axis=1))
        np.testing.assert_array_equal(missing, np.arange(20000, 20750))


def test_a_pause_of_unknown_length_is_refused(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, session)
    pause(path, "")
    with pytest.raises(ValueError, match="New Segment marker to say when"):
        open_recording(path)


@pytest.mark.parametrize("stamp", ["," + "0" * 20, ",20261399100041500000"])
def test_a_pause_of_unknown_date_is_refused(
    stamp: str, session: SimulatedSession, tmp_path: Path
) -> None:
    path = write_brainvision(tmp_path, session)
    pause(path, stamp)
    with pytest.raises(ValueError, match=r"a\.vhdr: expected every New Segment marker"):
        open_recording(path)


def test_a_header_may_name_its_files_after_itself(
    session: SimulatedSession, tmp_path: Path
) -> None:
    path = write_brainvision(tmp_path, session)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("=a.", "=$b."), encoding="utf-8")
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read(7, 90) * 1e6, session.lfp_uv[7:90], atol=0.006)
        assert {f.suffix for f in recording.files} == {".vhdr", ".eeg", ".vmrk"}


def test_segments_that_overlap_are_refused(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, session)
    pause(path, ",20260102100020000000")
    with pytest.raises(RecordingFaultError, match="in the order of time") as caught:
        open_recording(path)
    assert caught.value.fault == "backward_time"


def test_damaged_files(session: SimulatedSession, tmp_path: Path) -> None:
    path = write_brainvision(tmp_path, session)
    path.with_suffix(".eeg").unlink()
    with pytest.raises(ValueError, match=r"a\.vhdr: expected a BrainVision header"):
        open_recording(path)
    (tmp_path / "b.edf").write_bytes(b"0       nothing")
    with pytest.raises(ValueError, match=r"b\.edf: expected an EDF file"):
        open_recording(tmp_path / "b.edf")
