"""MATLAB, npz, HDF5 and Zarr files that a small TOML describes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import find_recordings, open_recording
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulatedSession

LABELS = ["ch00", "ch01", "ch02", "ch03"]
TOML = """
subject = "simA"

[samples]
array = "rec.lfp"
axes = ["channel", "time"]
unit = "uV"
rate = "rec.fs"

[channels]
names = "rec.labels"
regions = ["M1", "M1", "S1", "S1"]
bad = ["ch03"]

[behavior.hand]
array = "hand"
axes = ["time", "channel"]
unit = "m"
timestamps = "t"
time_unit = "ms"
offset_s = 0.5
"""
ROOT_TOML = TOML.replace("rec.", "")


def arrays(session: SimulatedSession) -> dict[str, Any]:
    return {
        "lfp": session.lfp_uv.T,
        "fs": 500.0,
        "labels": np.array(LABELS),
        "hand": session.behavior.values,
        "t": session.behavior.timestamps_s * 1000,
    }


def matlab5(path: Path, session: SimulatedSession) -> Path:
    content = arrays(session)
    cells = np.array(LABELS, dtype=object).reshape(1, -1)
    rec = {"lfp": content["lfp"], "fs": content["fs"], "labels": cells}
    target = path / "day1.mat"
    scipy.io.savemat(target, {"rec": rec, "hand": content["hand"], "t": content["t"]})
    return target


def matlab73(path: Path, session: SimulatedSession) -> Path:
    """As MATLAB writes it: axes reversed, texts as codes, cells as references."""
    content = arrays(session)
    target = path / "day1.mat"
    with h5py.File(target, "w", userblock_size=512) as file:
        rec = file.create_group("rec")
        rec["lfp"], rec["fs"] = content["lfp"].T, np.array([[content["fs"]]])
        cells = rec.create_dataset("labels", (4, 1), h5py.ref_dtype)
        for i, label in enumerate(LABELS):
            codes = np.array([[ord(letter)] for letter in label], dtype=np.uint16)
            file[f"#refs#/{i}"] = codes
            cells[i, 0] = file[f"#refs#/{i}"].ref
        file["hand"], file["t"] = content["hand"].T, content["t"].reshape(-1, 1)
    content_bytes = bytearray(target.read_bytes())
    content_bytes[:19] = b"MATLAB 7.3 MAT-file"
    target.write_bytes(content_bytes)
    return target


def npz(path: Path, session: SimulatedSession) -> Path:
    target = path / "day1.npz"
    np.savez(target, **arrays(session))
    return target


def hdf5(path: Path, session: SimulatedSession) -> Path:
    target = path / "day1.h5"
    with h5py.File(target, "w") as file:
        for name, value in arrays(session).items():
            file[name] = LABELS if name == "labels" else value
    return target


def zarr(path: Path, session: SimulatedSession) -> Path:
    import zarr as library

    target = path / "day1.zarr"
    root = library.open_group(target, mode="w")
    for name, value in arrays(session).items():
        root.create_array(name, data=np.atleast_1d(value))
    return target


KINDS: dict[str, tuple[Callable[[Path, SimulatedSession], Path], str]] = {
    "matlab5": (matlab5, TOML),
    "matlab73": (matlab73, TOML),
    "npz": (npz, ROOT_TOML),
    "hdf5": (hdf5, ROOT_TOML),
    "zarr": (zarr, ROOT_TOML),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:The data type")
def test_described_arrays_are_read(kind: str, session: SimulatedSession, tmp_path: Path) -> None:
    write, toml = KINDS[kind]
    path = write(tmp_path, session)
    (tmp_path / "recording.toml").write_text(toml)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert (recording.session_id, recording.subject) == ("simA_day1", "simA")
        assert recording.channel_names == tuple(LABELS)
        assert recording.regions == ("M1", "M1", "S1", "S1")
        assert recording.bad_channels == (False, False, False, True)
        assert (recording.sampling_rate_hz, recording.n_samples) == (500, 30000)
        np.testing.assert_allclose(recording.read(100, 300) * 1e6, session.lfp_uv[100:300])
        assert recording.behavior_paths() == ["hand"]
        hand = recording.behavior("hand")
        np.testing.assert_allclose(hand.values, session.behavior.values)
        np.testing.assert_allclose(hand.timestamps_s, session.behavior.timestamps_s + 0.5)
        assert (hand.unit, hand.names) == ("m", ("x", "y"))
    data = DataConfig(behavior="hand", target="velocity", window_s=1.0)
    prepared = PreparedSession.load(prepare_session(path, tmp_path / "out", SignalConfig(), data))
    assert prepared.channel_names == tuple(LABELS)
    prepared.close()


def test_behavior_lies_in_another_file_with_its_own_clock(
    session: SimulatedSession, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a_lfp.npz", lfp=session.lfp_uv * 1e-3)
    table = np.column_stack([session.behavior.values, session.behavior.timestamps_s])
    np.savetxt(tmp_path / "a_lfp_hand.csv", table, delimiter=",", header="x,y,t", comments="")
    (tmp_path / "recording.toml").write_text("""
files = "*_lfp.npz"
samples = { array = "lfp", unit = "mV", rate_hz = 500, offset_s = 10.0 }
[behavior.hand]
file = "{stem}_hand.csv"
array = ["x", "y"]
unit = "m"
timestamps = "t"
offset_s = 10.25
""")
    (path,) = find_recordings(tmp_path)
    with open_recording(path) as recording:
        assert recording.start_s == 10.0
        np.testing.assert_allclose(recording.read(0, 50) * 1e6, session.lfp_uv[:50])
        hand = recording.behavior("hand")
        np.testing.assert_allclose(hand.timestamps_s, session.behavior.timestamps_s + 10.25)
        np.testing.assert_allclose(hand.values, session.behavior.values)
        assert [file.name for file in recording.files] == [
            "a_lfp.npz",
            "recording.toml",
            "a_lfp_hand.csv",
        ]


def test_a_change_of_the_description_prepares_again(
    session: SimulatedSession, tmp_path: Path
) -> None:
    path = npz(tmp_path, session)
    description = tmp_path / "day1.toml"
    description.write_text(ROOT_TOML)
    data = DataConfig(behavior="hand", target="velocity", window_s=1.0)
    first = prepare_session(path, tmp_path / "out", SignalConfig(), data).read_bytes()
    assert prepare_session(path, tmp_path / "out", SignalConfig(), data).read_bytes() == first
    description.write_text(ROOT_TOML.replace('"uV"', '"mV"'))
    assert prepare_session(path, tmp_path / "out", SignalConfig(), data).read_bytes() != first


def test_timestamps_with_a_pause_become_a_gap(session: SimulatedSession, tmp_path: Path) -> None:
    times = np.arange(30000) / 500
    times[20000:] += 2.0
    np.savez(tmp_path / "a.npz", lfp=session.lfp_uv, t=times)
    (tmp_path / "a.toml").write_text(
        'samples = { array = "lfp", unit = "uV", timestamps = "t", rate_hz = 500 }'
    )
    with open_recording(tmp_path / "a.npz") as recording:
        assert recording.n_samples == 31000
        missing = np.flatnonzero(np.isnan(recording.read(0, 31000)).all(axis=1))
        np.testing.assert_array_equal(missing, np.arange(20000, 21000))


def test_a_rate_that_timestamps_contradict_is_refused(
    session: SimulatedSession, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", lfp=session.lfp_uv, t=np.arange(30000) / 500)
    (tmp_path / "a.toml").write_text(
        'samples = { array = "lfp", unit = "uV", timestamps = "t", rate_hz = 1000 }'
    )
    with pytest.raises(RecordingFaultError, match=r"stated rate of 1000 Hz.*500 Hz") as caught:
        open_recording(tmp_path / "a.npz")
    assert caught.value.fault == "wrong_rate"


GOOD = 'samples = { array = "lfp", unit = "uV", rate_hz = 500 }'
BAD: dict[str, tuple[str, list[str]]] = {
    "unknown key": (GOOD.replace("array", "aray"), ["unknown key 'samples.aray'", "array, axes"]),
    "unknown unit": (GOOD.replace("uV", "tesla"), ["expected one of V, mV", "'tesla'"]),
    "no clock": ('samples = { array = "lfp", unit = "uV" }', ["rate_hz, rate or timestamps"]),
    "no such array": (GOOD.replace('"lfp"', '"x"'), ["called 'x'", "has: lfp", "Correct"]),
    "turned": (
        GOOD.replace("unit", 'axes = ["channel", "time"], unit'),
        ["more times than channels", "swap the axes"],
    ),
    "names": (GOOD + '\nchannels = { names = ["a"] }', ["1 names", "correct channels.names"]),
    "regions": (GOOD + '\nchannels = { regions = ["a"] }', ["one of the regions", "got 1"]),
    "bad channel": (GOOD + '\nchannels = { bad = ["zz"] }', ["channels zz", "none of that name"]),
    "all left out": (GOOD + '\nchannels = { leave_out = ["*"] }', ["expected neural channels"]),
    "two sources": (
        GOOD + '\nbehavior.x = { array = "a", channels = ["0"], rate_hz = 1 }',
        ["either array or channels"],
    ),
    "not TOML": ("samples = ", ["expected TOML"]),
    "nothing about samples": ('subject = "a"', ["part [samples]", "write it"]),
}


@pytest.mark.parametrize("case", BAD)
def test_descriptions_that_do_not_fit(case: str, session: SimulatedSession, tmp_path: Path) -> None:
    toml, said = BAD[case]
    np.savez(tmp_path / "a.npz", lfp=session.lfp_uv[:5000])
    (tmp_path / "a.toml").write_text(toml)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        open_recording(tmp_path / "a.npz")
    for words in said:
        assert words in str(caught.value)


def test_arrays_without_a_description(session: SimulatedSession, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", lfp=session.lfp_uv[:10])
    with pytest.raises(ValueError, match=r"recording\.toml to name the arrays"):
        open_recording(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"found none; a\.npz and 0 more hold arrays"):
        find_recordings(tmp_path)


def test_pickled_and_damaged_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", lfp=np.array([{"a": 1}], dtype=object))
    (tmp_path / "recording.toml").write_text(GOOD)
    with pytest.raises(ValueError, match=r"a\.npz: expected plain numbers"):
        open_recording(tmp_path / "a.npz")
    for name in ("b.npz", "b.mat", "b.h5"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 damaged")
        with pytest.raises(ValueError, match=f"{name}: expected"):
            open_recording(tmp_path / name)


def test_vectors_become_columns(session: SimulatedSession, tmp_path: Path) -> None:
    scipy.io.savemat(
        tmp_path / "a.mat", {"a": session.lfp_uv[:, 0], "b": session.lfp_uv[:, 1], "short": [1, 2]}
    )
    toml = 'samples = { array = ["a", "b"], unit = "uV", gain = 2.0, rate_hz = 500 }'
    (tmp_path / "a.toml").write_text(toml)
    with open_recording(tmp_path / "a.mat") as recording:
        np.testing.assert_allclose(recording.read(5, 9) * 1e6, 2 * session.lfp_uv[5:9, :2])
    (tmp_path / "a.toml").write_text(toml.replace('"b"', '"short"'))
    with pytest.raises(ValueError, match="vectors of one length"):
        open_recording(tmp_path / "a.mat")
