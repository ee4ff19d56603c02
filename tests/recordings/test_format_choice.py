"""Which format reads a path, which files of a folder are recordings, and what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import scipy.io

from realm.data.config import DataConfig
from realm.data.prepare import prepare_all
from realm.recordings.open import FORMATS, find_recordings, format_of, identify, open_recording
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulatedSession
from realm.simulation.write import write_session

TOML = """
files = "*_lfp.mat"
subject = "m1"
samples = { array = "lfp", unit = "uV", rate_hz = 500 }
behavior.hand = { file = "{stem}_hand.mat", array = "xy", unit = "m", rate_hz = 50 }
"""


def write_matlab(folder: Path, session: SimulatedSession, name: str) -> Path:
    scipy.io.savemat(folder / f"{name}_lfp.mat", {"lfp": session.lfp_uv})
    scipy.io.savemat(folder / f"{name}_lfp_hand.mat", {"xy": session.behavior.values})
    return folder / f"{name}_lfp.mat"


def test_formats_have_names_of_their_own_and_readers_that_exist() -> None:
    import importlib

    assert len({kind.name for kind in FORMATS}) == len(FORMATS)
    for kind in FORMATS:
        module, _, function = kind.reader.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_folder_of_several_formats(session: SimulatedSession, tmp_path: Path) -> None:
    matlab = tmp_path / "matlab"
    matlab.mkdir()
    mat = [write_matlab(matlab, session, name) for name in ("day1", "day2")]
    (matlab / "recording.toml").write_text(TOML)
    nwb = write_session(tmp_path / "other" / "a.nwb", session)
    (tmp_path / "other" / "notes.txt").write_text("nothing")
    (tmp_path / "other" / "unknown.npz").write_bytes(b"")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.nwb").write_bytes(b"")
    assert find_recordings(tmp_path) == [*mat, nwb]
    assert [identify(path)[:2] for path in mat] == [("m1_day1_lfp", "m1"), ("m1_day2_lfp", "m1")]
    assert identify(nwb)[:2] == (session.session_id, session.subject)
    (tmp_path / "other" / "a.toml").write_text('subject = "m2"')
    with open_recording(nwb) as recording:
        assert identify(nwb) == recording.identity
        assert recording.subject == "m2"


def test_a_folder_of_matlab_files_is_prepared(session: SimulatedSession, tmp_path: Path) -> None:
    for name in ("day1", "day2"):
        write_matlab(tmp_path, session, name)
    (tmp_path / "recording.toml").write_text(TOML)
    data = DataConfig(behavior="hand", target="velocity", window_s=1.0)
    prepared = prepare_all(
        find_recordings(tmp_path), tmp_path / "out", SignalConfig(), data, workers=1, show=False
    )
    assert [path.name for path in prepared] == ["m1_day1_lfp.h5", "m1_day2_lfp.h5"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b""), ("a.set", b"MATLAB 5.0 MAT-file"), ("a", b"")],
)
def test_unknown_files(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert format_of(path) is None
    with pytest.raises(ValueError, match=r"of a known kind \(NWB, BIDS-iEEG.*convert it to NWB"):
        open_recording(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.ncs", "Neuralynx.*neuroconv"),
        ("a.RHD", "Intan.*neuroconv"),
        ("a.lf.meta", "SpikeGLX.*neuroconv"),
        ("a.pl2", r"export it as \.plx"),
        ("a.smrx", r"export it in Spike2 as \.smr"),
        ("a.eeg", r"name the \.vhdr"),
        ("a.nev", r"\.ns1 to \.ns6"),
    ],
)
def test_formats_that_are_not_read_name_the_way_out(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ValueError, match=said) as caught:
        open_recording(tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(ValueError, match=said):
        find_recordings(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.edf: expected a recording here, found no file"):
        open_recording(tmp_path / "a.edf")


@pytest.mark.parametrize(("name", "package"), [("a.ns3", "neo"), ("a.vhdr", "mne")])
def test_a_missing_package_is_named(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"expected {package}.*realm-lfp\[formats\]"):
        open_recording(tmp_path / name)


def test_formats_load_nothing_before_they_are_used() -> None:
    import subprocess

    code = (
        "import sys, realm.recordings\n"
        "print([m for m in ('neo', 'mne', 'mne_bids', 'edfio', 'zarr', 'scipy.io', 'pynwb') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
