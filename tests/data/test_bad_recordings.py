"""Each unusable recording is refused: its name, what was expected, what came, what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_cases import DATA, SIGNAL
from nwb_cases import HAND, LFP, Spoil

from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.recordings.open import open_recording
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session

Change = Callable[[h5py.File], None]


def remove(name: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def attribute(name: str, key: str, value: object) -> Change:
    def change(file: h5py.File) -> None:
        file[name].attrs[key] = value

    return change


def no_attribute(name: str, key: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[name].attrs[key]

    return change


def stamps(series: str, edit: Callable[[np.ndarray], None]) -> Change:
    def change(file: h5py.File) -> None:
        n, rate = len(file[f"{series}/data"]), file[f"{series}/starting_time"].attrs["rate"]
        times = np.arange(n) / rate
        edit(times)
        del file[f"{series}/starting_time"]
        file[f"{series}/timestamps"] = times

    return change


def backward(times: np.ndarray) -> None:
    times[100] = times[98]


def not_finite(times: np.ndarray) -> None:
    times[7] = np.nan


def data(series: str, values: object) -> Change:
    def change(file: h5py.File) -> None:
        kept = dict(file[f"{series}/data"].attrs)
        del file[f"{series}/data"]
        file[f"{series}/data"] = values
        file[f"{series}/data"].attrs.update(kept)

    return change


def two_lfp(file: h5py.File) -> None:
    file.copy(LFP, "processing/ecephys/LFP/Second")


def external_link(file: h5py.File) -> None:
    del file[f"{LFP}/data"]
    file[f"{LFP}/data"] = h5py.ExternalLink("other.nwb", "/data")


def external_regions(file: h5py.File) -> None:
    """An enumerated column whose words lie in another file, by a reference."""
    table = file["general/extracellular_ephys/electrodes"]
    words = file.create_dataset("words", (10,), "S8", external=[("/dev/null", 0, 80)])
    n = len(table["id"])
    del table["location"]
    table["location"] = np.zeros(n, np.uint8)
    table["location"].attrs["elements"] = words.ref


def external_storage(file: h5py.File) -> None:
    del file[f"{LFP}/data"]
    file.create_dataset(f"{LFP}/data", (100, 5), "i2", external=[("/dev/null", 0, 1000)])


def circle(file: h5py.File) -> None:
    del file[f"{HAND}/data"]
    file[f"{HAND}/data"] = h5py.SoftLink(f"/{HAND}/data")


def electrodes(file: h5py.File) -> None:
    del file[f"{LFP}/electrodes"]
    file[f"{LFP}/electrodes"] = np.arange(3)


def channel_conversion(file: h5py.File) -> None:
    file[f"{LFP}/channel_conversion"] = [1.0, np.nan, 1.0, 1.0, 1.0]


CASES: dict[str, tuple[Change, list[str]]] = {
    "no LFP": (
        remove("processing/ecephys/LFP"),
        ["expected LFP", "found none", "ecephys/threshold_crossings", "Set lfp"],
    ),
    "two LFP": (two_lfp, ["expected one LFP series, found 2", "Second", "Set lfp"]),
    "behavior path missing": (
        remove(HAND),
        ["'behavior/Position/hand'", "found none", "ecephys/threshold_crossings", "Set behavior"],
    ),
    "NaN conversion": (
        attribute(f"{LFP}/data", "conversion", np.nan),
        ["expected a finite conversion", "nan", "set the conversion"],
    ),
    "zero conversion": (
        attribute(f"{LFP}/data", "conversion", 0.0),
        ["expected finite conversions other than 0", "correct"],
    ),
    "NaN offset": (attribute(f"{LFP}/data", "offset", np.inf), ["expected a finite offset"]),
    "NaN channel conversion": (channel_conversion, ["got nan", "channel 1", "correct"]),
    "zero rate": (
        attribute(f"{LFP}/starting_time", "rate", 0.0),
        ["expected a sampling rate above 0 Hz", "0.0", "set the attribute rate"],
    ),
    "missing rate": (
        no_attribute(f"{LFP}/starting_time", "rate"),
        ["expected a sampling rate above 0 Hz", "got none"],
    ),
    "neither rate nor timestamps": (
        remove(f"{LFP}/starting_time"),
        ["starting_time with a rate, or timestamps", "found neither", "write the sampling rate"],
    ),
    "NaN starting time": (
        lambda file: file[f"{LFP}/starting_time"].write_direct(np.array(np.nan)),
        ["expected a finite starting_time", "nan", "correct"],
    ),
    "LFP timestamps backward": (
        stamps(LFP, backward),
        ["timestamps that increase", "sample 100", "sort or correct"],
    ),
    "behavior timestamps backward": (
        stamps(HAND, backward),
        ["timestamps that increase", "sample 100", "sort or correct"],
    ),
    "NaN timestamps": (stamps(LFP, not_finite), ["expected finite timestamps", "sample 7"]),
    "no overlap": (
        lambda file: file[f"{HAND}/starting_time"].write_direct(np.array(1000.0)),
        ["overlap", "0.0 to 60.0 s", "1000.0 to 1060.0 s", "one clock"],
    ),
    "behavior all missing": (
        data(HAND, np.full((3000, 2), np.nan, np.float32)),
        ["every value is missing", "choose another"],
    ),
    "behavior that never varies": (
        data(HAND, np.ones((3000, 2), np.float32)),
        ["to change", "one value", "choose another"],
    ),
    "behavior that varies after training time": (
        data(HAND, np.where(np.arange(3000) < 2400, 0.0, np.arange(3000.0))[:, None]),
        ["to change", "one value"],
    ),
    "every channel flat": (data(LFP, np.full((15000, 5), 7)), ["a signal", "all 5 channels"]),
    "text instead of numbers": (
        data(LFP, np.array([b"a", b"b"])),
        ["expected numbers", "got", "choose another series"],
    ),
    "no samples": (data(LFP, np.zeros((0, 5))), ["at least one sample", "(0, 5)"]),
    "time and channels swapped": (
        lambda file: data(LFP, file[f"{LFP}/data"][:].T)(file),
        ["as many electrodes as channels", "swapped"],
    ),
    "too few electrodes": (electrodes, ["as many electrodes as channels", "3 electrodes"]),
    "external link": (external_link, ["inside this file", "other.nwb", "export"]),
    "external words": (external_regions, ["inside this file", "words", "export"]),
    "external storage": (external_storage, ["inside this file", "other files", "export"]),
    "links in a circle": (circle, ["circle", "export"]),
    "not NWB": (no_attribute("/", "nwb_version"), ["expected an NWB 2 file", "convert"]),
}


@pytest.mark.parametrize("case", CASES)
def test_unusable_recording(case: str, spoil: Spoil, tmp_path: Path) -> None:
    change, said = CASES[case]
    path = spoil(change)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        prepare_session(path, tmp_path / "out", SIGNAL, DATA)
    text = str(caught.value)
    assert str(path) in text
    assert "expected" in text
    for words in said:
        assert words in text
    assert not list((tmp_path / "out").glob("*"))


def test_missing_truncated_and_foreign_files(recording_path: Path, tmp_path: Path) -> None:
    missing, cut, foreign = (tmp_path / f"{name}.nwb" for name in ("missing", "cut", "foreign"))
    cut.write_bytes(recording_path.read_bytes()[:5000])
    foreign.write_text("time,lfp\n")
    for path in (missing, cut, foreign):
        with pytest.raises(ValueError, match=f"{path}: expected"):
            prepare_session(path, tmp_path / "out", SIGNAL, DATA)


def test_damaged_block(recording_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.nwb"
    with h5py.File(recording_path) as file:
        place = file[f"{LFP}/data"].id.get_chunk_info(0)
    content = bytearray(recording_path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.nwb: expected readable samples"):
        prepare_session(path, tmp_path / "out", SIGNAL, DATA)


def test_band_above_what_the_rate_allows_names_the_file(spoil: Spoil, tmp_path: Path) -> None:
    path = spoil(attribute(f"{LFP}/starting_time", "rate", 60.0))
    with pytest.raises(ValueError, match=str(path)):
        prepare_session(path, tmp_path, type(SIGNAL)(slow_hz=(0.3, 40.0)), DATA)


def test_session_shorter_than_the_windows_need(tmp_path: Path) -> None:
    short = SimulationConfig(duration_s=30, channels=2, sampling_rate_hz=250, behavior_rate_hz=50)
    path = write_session(tmp_path / "short.nwb", simulate_session(short))
    with pytest.raises(ValueError, match=r"short\.nwb: expected at least 80 s .*got 30\.0 s"):
        prepare_session(path, tmp_path, SIGNAL, DataConfig(behavior=DATA.behavior, window_s=4.0))


def test_unknown_configuration_key_is_refused() -> None:
    with pytest.raises(ValueError, match="smoothing"):
        DataConfig(behavior="x", smoothing=0.4)  # type: ignore[call-arg]


def test_folder_that_is_not_writable(recording_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        prepare_session(recording_path, tmp_path / "file" / "out", SIGNAL, DATA)
    shutil.rmtree(tmp_path)


def test_electrical_series_outside_an_lfp_container_are_listed(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file.move(LFP, "processing/ecephys/voltage")
        del file["processing/ecephys/LFP"]

    path = spoil(change)
    with pytest.raises(ValueError, match=r"this file has: .*ecephys/voltage.*Set lfp"):
        open_recording(path)
    with pytest.raises(ValueError, match=r"'ecephys/volt', found none; .*ecephys/voltage"):
        open_recording(path, "ecephys/volt")
    with open_recording(path, "ecephys/voltage") as recording:
        assert recording.channel_names[0] == "ch00"
