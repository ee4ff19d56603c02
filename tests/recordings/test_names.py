"""Names of channels and columns in every spelling: nothing is lost, nothing gets a wrong name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from every_format import DESCRIPTION, HAND, LFP_OF, LFP_UV, WRITERS
from nwb_cases import Spoil

from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import find_recordings, open_recording

TABLE = "general/extracellular_ephys/electrodes"
TEXT = h5py.string_dtype()
NAMED = DESCRIPTION + 'channels.names = "labels"\n'


def samples_of(path: Path, kind: str) -> np.ndarray:
    with open_recording(path, LFP_OF.get(kind)) as recording:
        return recording.read(3, 200)


@pytest.mark.parametrize("kind", ["nwb", "edf", "blackrock", "plexon", "spike2", "npz", "hdf5"])
def test_files_whose_suffix_is_in_capitals(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    before = samples_of(path, kind)
    upper = path.rename(path.with_name(path.stem + path.suffix.upper()))
    assert find_recordings(tmp_path) == [upper]
    np.testing.assert_array_equal(samples_of(upper, kind), before)
    with open_recording(upper) as recording:
        assert upper in recording.files


def test_a_trial_of_axona_in_capitals(tmp_path: Path) -> None:
    path = WRITERS["axona"](tmp_path)
    before = samples_of(path, "axona")
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.upper()))
    with open_recording(tmp_path / "DAY.SET") as recording:
        np.testing.assert_array_equal(recording.read(3, 200), before)
        assert recording.behavior_paths() == ["position"]
        assert len(recording.files) == 4


@pytest.mark.parametrize("named", ["DAY", "day", "$b"])
def test_a_recording_of_brainvision_in_capitals(named: str, tmp_path: Path) -> None:
    path = WRITERS["brainvision"](tmp_path)
    before = samples_of(path, "brainvision")
    for file in list(tmp_path.glob("day.*")):
        file.rename(file.with_name(file.name.upper()))
    header = tmp_path / "DAY.VHDR"
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("=day.", f"={named}."), encoding="utf-8")
    with open_recording(header) as recording:
        np.testing.assert_array_equal(recording.read(3, 200), before)
        assert {f.name for f in recording.files if f.stem == "DAY"} == {
            "DAY.VHDR",
            "DAY.EEG",
            "DAY.VMRK",
        }


# --- the electrode table of NWB


def put(file: h5py.File, name: str, values: list[Any]) -> None:
    table = file[TABLE]
    if name in table:
        del table[name]
    table.create_dataset(name, data=np.array(values, object), dtype=TEXT)


def ragged(name: str, lists: list[list[str]]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        put(file, name, [entry for row in lists for entry in row])
        file[TABLE][f"{name}_index"] = np.cumsum([len(row) for row in lists])

    return change


def enumerated(name: str, by_attribute: bool) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        table = file[TABLE]
        if name in table:
            del table[name]
        table[name] = np.array([0, 0, 0, 1, 1], "u1")
        words = "words" if by_attribute else f"{name}_elements"
        table.create_dataset(words, data=np.array(["M1", "PMd"], object), dtype=TEXT)
        if by_attribute:
            table[name].attrs["elements"] = table[words].ref

    return change


def test_ragged_columns_of_nwb(spoil: Spoil) -> None:
    lists = [[f"c{i}"] + [f"alias{i}"] * (i % 2) for i in range(5)]
    with open_recording(spoil(ragged("channel_name", lists))) as recording:
        assert recording.channel_names == ("c0", "c1", "c2", "c3", "c4")
    lists = [["M1" if i < 3 else "PMd", "layer5"] for i in range(4)] + [[]]
    with open_recording(spoil(ragged("location", lists))) as recording:
        regions = ("M1 / layer5", "M1 / layer5", "M1 / layer5", "PMd / layer5", "")
        assert recording.regions == regions
    lists = [["", "noisy"], ["bad"], [], ["good", "bad"], ["x"]]
    with open_recording(spoil(ragged("bad", lists))) as recording:
        assert recording.bad_channels == (False, True, False, True, False)


def test_columns_that_are_ragged_twice_name_nothing(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        ragged("location", [["a", "b"], ["c"], ["d"], ["e"], ["f"], ["g"]])(file)
        file[f"{TABLE}/location_index_index"] = np.array([2, 3, 4, 5, 6])

    with open_recording(spoil(change)) as recording:
        assert set(recording.regions) == {""}


@pytest.mark.parametrize("by_attribute", [True, False])
def test_enumerated_columns_of_nwb(by_attribute: bool, spoil: Spoil) -> None:
    with open_recording(spoil(enumerated("location", by_attribute))) as recording:
        assert recording.regions == ("M1", "M1", "M1", "PMd", "PMd")


def test_enumerated_types_of_hdf5(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        table = file[TABLE]
        del table["location"]
        kind = h5py.enum_dtype({"M1": 4, "PMd": 9}, "u1")
        table.create_dataset("location", data=np.array([4, 4, 9, 9, 9], "u1"), dtype=kind)

    with open_recording(spoil(change)) as recording:
        assert recording.regions == ("M1", "M1", "PMd", "PMd", "PMd")


def test_an_electrode_that_is_named_twice(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file["processing/ecephys/LFP/ElectricalSeriesLFP/electrodes"][1] = 0

    with pytest.raises(RecordingFaultError, match="more than once") as caught:
        open_recording(spoil(change))
    assert caught.value.fault == "electrodes"


# --- texts of MATLAB, HDF5 and numpy


def codes(text: str) -> np.ndarray:
    return np.array([[ord(letter)] for letter in text], dtype="u2")


def char_matrix(file: h5py.File) -> None:
    padded = ["A1 ", "A10", "B2 "]
    rows = np.array([[ord(letter) for letter in name] for name in padded], "u2")
    file["labels"] = rows.T
    file["labels"].attrs["MATLAB_class"] = np.bytes_("char")


def cells(file: h5py.File) -> None:
    found = file.create_dataset("labels", (1, 3), h5py.ref_dtype)
    for i, name in enumerate(["A1", "A10", "B2"]):
        file[f"#refs#/{i}"] = codes(name)
        found[0, i] = file[f"#refs#/{i}"].ref


def fixed_texts(file: h5py.File) -> None:
    file["labels"] = np.array([b"A1", b"A10", b"B2"])


def letters(file: h5py.File) -> None:
    file["labels"] = np.array([list("A1 "), list("A10"), list("B2 ")], "S1")


@pytest.mark.parametrize("write", [char_matrix, cells, fixed_texts, letters])
def test_names_in_hdf5_and_matlab(write: Callable[[h5py.File], None], tmp_path: Path) -> None:
    path = WRITERS["matlab73"](tmp_path)
    with h5py.File(path, "r+") as file:
        write(file)
    (tmp_path / "day.toml").write_text(NAMED)
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "A10", "B2")


def test_names_in_an_array_of_structures(tmp_path: Path) -> None:
    places = np.zeros(3, dtype=[("labels", object), ("x", object)])
    places["labels"], places["x"] = ["A1", "A10", "B2"], [0.0, 1.0, 2.0]
    content = {"lfp": LFP_UV, "fs": 500.0, "hand": HAND, "chanlocs": places}
    scipy.io.savemat(tmp_path / "day.mat", content)
    (tmp_path / "day.toml").write_text(NAMED.replace('"labels"', '"chanlocs.labels"'))
    with open_recording(tmp_path / "day.mat") as recording:
        assert recording.channel_names == ("A1", "A10", "B2")


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["A1", "A10", "B2"]),
        np.array([b"A1", b"A10", b"B2"]),
        np.array([list("A1 "), list("A10"), list("B2 ")]),
    ],
)
def test_names_in_numpy_and_matlab_5(labels: np.ndarray, tmp_path: Path) -> None:
    content = {"lfp": LFP_UV, "fs": 500.0, "hand": HAND, "labels": labels}
    np.savez(tmp_path / "day.npz", **content)
    (tmp_path / "day.toml").write_text(NAMED)
    with open_recording(tmp_path / "day.npz") as recording:
        assert recording.channel_names == ("A1", "A10", "B2")
    scipy.io.savemat(tmp_path / "day.mat", {**content, "labels": ["A1", "A10", "B2"]})
    with open_recording(tmp_path / "day.mat") as recording:
        assert recording.channel_names == ("A1", "A10", "B2")


def test_numbers_as_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "day.npz", lfp=LFP_UV, fs=500.0, hand=HAND, labels=np.array([3, 5, 12]))
    (tmp_path / "day.toml").write_text(NAMED)
    with open_recording(tmp_path / "day.npz") as recording:
        assert recording.channel_names == ("3", "5", "12")


def test_string_arrays_of_matlab_say_what_to_do(tmp_path: Path) -> None:
    path = WRITERS["matlab73"](tmp_path)
    with h5py.File(path, "r+") as file:
        file["labels"] = np.array([[3707764736, 2, 1, 1, 1, 1]], "u4")
        file["labels"].attrs["MATLAB_class"] = np.bytes_("string")
    (tmp_path / "day.toml").write_text(NAMED)
    with pytest.raises(ValueError, match=r"day\.mat: expected texts at 'labels'.*cellstr"):
        open_recording(path)


# --- columns of tables


@pytest.mark.parametrize(
    ("first", "separator", "point"),
    [("hand x (cm),hand-y", ",", "."), ("hand x (cm);hand-y", ";", ","), ("x\ty", "\t", ".")],
)
def test_tables_as_spreadsheets_write_them(
    first: str, separator: str, point: str, tmp_path: Path
) -> None:
    path = WRITERS["npz"](tmp_path)
    rows = [f"{x:.6f}{separator}{y:.6f}".replace(".", point) for x, y in HAND]
    rows[4] = f"lost{separator}"
    (tmp_path / "day_hand.csv").write_text("\n".join(["\ufeff" + first, *rows, ""]))
    names = first.split(separator)
    description = tmp_path / "day.toml"
    description.write_text(description.read_text().replace('["x", "y"]', str(names)))
    with open_recording(path) as recording:
        hand = recording.behavior("hand")
    assert np.isnan(hand.values[4]).all()
    np.testing.assert_allclose(np.delete(hand.values, 4, 0), np.delete(HAND, 4, 0), atol=1e-6)


@pytest.mark.parametrize("text", ["1.5,2.5\n1,2\n", "x,x\n1,2\n", "x,y\n1,2,3\n4,5,6\n", ""])
def test_tables_without_names_of_their_columns(text: str, tmp_path: Path) -> None:
    path = WRITERS["npz"](tmp_path)
    (tmp_path / "day_hand.csv").write_text(text)
    with (
        open_recording(path) as recording,
        pytest.raises(ValueError, match=r"day_hand\.csv: expected"),
    ):
        recording.behavior("hand")
