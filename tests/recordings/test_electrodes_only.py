"""Only electrodes are LFP: analog inputs, triggers and sensors of every format are behavior."""

from __future__ import annotations

import json
from pathlib import Path

import edfio
import h5py
import numpy as np
import pybv
import pytest
from acquisition_files import write_blackrock, write_open_ephys, write_plexon, write_spike2
from nwb_cases import LFP, Spoil

from realm.recordings.channel_names import names_another_signal
from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import open_recording

OTHERS = [
    "ainp1",
    "ADC1",
    "AUX2",
    "DC01",
    "DC",
    "Status",
    "LFP_SYNC",
    "SY0",
    "XA0",
    "TRIG",
    "JoystickX",
    "joy_x",
    "ECG",
    "EKG1",
    "HEOGR",
    "VEOGb",
    "Photodiode",
    "STI014",
    "ANALOG-IN-1",
    "SpO2",
    "TTL1",
    "trig_in",
    "EMG2",
    "AccelX",
    "din3",
]
OTHERS += ["EEG EKG1-REF", "POL DC09", "EOG left", "EMG Chin", "STI 014", "analog 1", "DC1-Ref"]
ELECTRODES = [
    "A1",
    "ACC1",
    "LACC3",
    "AI1",
    "chan1",
    "ch00",
    "CH1",
    "0",
    "12",
    "eeg1",
    "LFP1",
    "TEMP1",
    "LTEMP2",
    "C1",
    "D1",
    "AD01",
    "FP01",
    "G1-REF",
    "M1",
    "Cz",
    "LFP_R_01",
    "GPi",
    "STN",
    "HIPP1",
    "LDC1",
    "A-000",
    "AP12",
    "LF3",
    "POz",
    "IN1",
]
ELECTRODES += ["EEG Fp1-Ref", "POL X1", "SEEG A1"]


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_signals(name: str) -> None:
    assert names_another_signal(name)


@pytest.mark.parametrize("name", ELECTRODES)
def test_names_of_electrodes(name: str) -> None:
    assert not names_another_signal(name)


def edf(path: Path, signals: list[tuple[str, str, int]]) -> Path:
    """Noise of 60 s: (label, unit, rate)."""
    rng = np.random.default_rng(0)
    edfio.Edf(
        [
            edfio.EdfSignal(
                rng.normal(0, 50, 60 * rate), rate, label=label, physical_dimension=unit
            )
            for label, unit, rate in signals
        ]
    ).write(path)
    return path


def test_edf_labels(tmp_path: Path) -> None:
    extra = [("DC01", "mV", 200), ("EEG EKG1-REF", "uV", 200), ("Status", "uV", 200)]
    faster = [(f"DC{i}", "mV", 400) for i in range(2, 8)]
    path = edf(tmp_path / "a.edf", [("A1", "uV", 200), ("A2", "uV", 200), *extra, *faster])
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "A2")
        assert recording.sampling_rate_hz == 200
        assert {"DC01", "EEG EKG1-REF", "Status", "DC2"} <= set(recording.behavior_paths())
        assert np.std(recording.behavior("DC01").values) > 0


def test_a_description_names_electrodes_whose_names_mislead(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", [("A1", "uV", 200), ("DC1", "uV", 200), ("TRIG", "uV", 200)])
    (tmp_path / "a.toml").write_text('channels.electrodes = ["DC*"]')
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "DC1")


def counts(n: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-300, 300, (n, channels)).astype(np.int16)


def test_blackrock_by_range_and_by_label(tmp_path: Path) -> None:
    samples = counts(5000, 3)
    path = write_blackrock(tmp_path / "a.ns2", [(0, samples)])
    content = bytearray(path.read_bytes())
    at = 314 + 66  # the second channel: an input of 5 V called as it pleased the lab
    content[at + 4 : at + 20] = b"reach".ljust(16, b"\0")
    content[at + 22 : at + 30] = np.array([-32764, 32764, -5000, 5000], "<i2").tobytes()
    content[at + 30 : at + 46] = b"mV".ljust(16, b"\0")
    content[at + 66 + 4 : at + 66 + 20] = b"ainp2".ljust(16, b"\0")
    path.write_bytes(content)
    with open_recording(path) as recording:
        assert recording.channel_names == ("chan1",)
        assert set(recording.behavior_paths()) == {"reach", "ainp2"}
        reach = recording.behavior("reach")
        assert reach.unit == "V"
        np.testing.assert_allclose(reach.values[:, 0], samples[:, 1] * 5 / 32764, rtol=1e-6)
    (tmp_path / "a.toml").write_text('behavior.hand = { channels = ["reach", "ainp2"] }')
    with open_recording(path) as recording:
        assert recording.behavior("hand").values.shape == (5000, 2)
        assert recording.behavior("hand").unit == "V"


@pytest.mark.parametrize(
    "change",
    [
        {"channel_name": "reach", "units": "V"},
        {"channel_name": "reach", "units": ""},
        {"channel_name": "LFP_SYNC", "units": "uV", "bit_volts": 1.0},
        {"channel_name": "CH4", "description": "ADC data channel", "units": "uV"},
        {"channel_name": "trigger", "units": "uV"},
    ],
)
def test_open_ephys_analog_inputs(change: dict[str, object], tmp_path: Path) -> None:
    path = write_open_ephys(tmp_path, counts(6000, 4), np.arange(6000), 1000.0, n_adc=1)
    about = json.loads(path.read_text())
    about["continuous"][0]["channels"][3].update(change)
    path.write_text(json.dumps(about))
    with open_recording(path) as recording:
        assert recording.channel_names == ("CH1", "CH2", "CH3")
        assert recording.behavior_paths() == [change["channel_name"]]


def test_open_ephys_headstages_without_a_unit(tmp_path: Path) -> None:
    path = write_open_ephys(tmp_path, counts(6000, 3), np.arange(6000), 1000.0)
    about = json.loads(path.read_text())
    for channel in about["continuous"][0]["channels"]:
        del channel["units"]
    path.write_text(json.dumps(about))
    with open_recording(path) as recording:
        assert recording.channel_names == ("CH1", "CH2", "CH3")
        np.testing.assert_allclose(recording.read(0, 5), counts(6000, 3)[:5] * 0.195e-6)


def brainvision(folder: Path, names: list[str], unit: str = "µV") -> Path:
    data = np.random.default_rng(0).normal(0, 5e-5, (len(names), 30000))
    pybv.write_brainvision(
        data=data, sfreq=500, ch_names=names, fname_base="a", folder_out=folder, unit=unit
    )
    return folder / "a.vhdr"


def test_brainvision_names(tmp_path: Path) -> None:
    path = brainvision(tmp_path, ["A1", "A2", "joystick", "HEOGL", "ECG"])
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "A2")
        assert set(recording.behavior_paths()) == {"joystick", "HEOGL", "ECG"}
        assert recording.behavior("joystick").unit == "V"


@pytest.mark.parametrize("micro", ["\u03bcV", "\u00b5V", "uV"])
def test_brainvision_units_in_every_spelling(micro: str, tmp_path: Path) -> None:
    path = brainvision(tmp_path, ["A1", "A2"])
    text = path.read_text(encoding="utf-8").replace("\u00b5V", micro)
    path.write_text(text, encoding="utf-8")
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "A2")
        assert 4e-5 < np.std(recording.read(0, 30000)) < 6e-5


def test_plexon_auxiliary_inputs(tmp_path: Path) -> None:
    path = write_plexon(tmp_path / "a.plx", [(0, counts(3000, 2))])
    path.write_bytes(path.read_bytes().replace(b"AD02", b"AI02"))
    with open_recording(path, None) as recording:
        assert recording.channel_names == ("AD01",)


def test_spike2_names(tmp_path: Path) -> None:
    path = write_spike2(tmp_path / "a.smr", [(0, counts(5000, 3))], [b"mV", b"mV", b"mV"])
    path.write_bytes(path.read_bytes().replace(b"\x04lfp3", b"\x04trig"))
    with open_recording(path) as recording:
        assert recording.channel_names == ("lfp1", "lfp2")
        assert recording.behavior_paths() == ["trig"]


def test_nwb_electrode_names(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        names = file["general/extracellular_ephys/electrodes/channel_name"]
        names[3], names[4] = "ADC1", "LFP_SYNC"

    with open_recording(spoil(change)) as recording:
        assert recording.channel_names == ("ch00", "ch01", "ch02")
        assert {"ADC1", "LFP_SYNC"} <= set(recording.behavior_paths())


def test_described_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", lfp=counts(6000, 3), names=["A1", "A2", "TRIG"])
    (tmp_path / "a.toml").write_text(
        '[samples]\narray = "lfp"\nunit = "uV"\nrate_hz = 100\n[channels]\nnames = "names"\n'
    )
    with open_recording(tmp_path / "a.npz") as recording:
        assert recording.channel_names == ("A1", "A2")
        np.testing.assert_allclose(
            recording.behavior("TRIG").values[:, 0], counts(6000, 3)[:, 2] * 1e-6
        )


def header_unit(path: Path, signal: int, unit: bytes) -> None:
    content = bytearray(path.read_bytes())
    at = 256 + 96 * int(content[252:256]) + 8 * signal
    content[at : at + 8] = unit.ljust(8)
    path.write_bytes(content)


@pytest.mark.parametrize("unit", ["µV".encode("latin-1"), "µV".encode(), "μV".encode(), b"?V"])
def test_the_micro_sign_in_every_encoding(unit: bytes, tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", [("A1", "uV", 200), ("A2", "uV", 200)])
    header_unit(path, 1, unit)
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1", "A2")
        assert 4e-5 < np.std(recording.read(0, 12000), axis=0).min() < 6e-5


@pytest.mark.parametrize("unit", [b"", b"xV"])
def test_an_electrode_without_a_readable_unit_is_a_fault(unit: bytes, tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", [("A1", "uV", 200), ("A2", "uV", 200), ("Pad", "", 200)])
    header_unit(path, 1, unit)
    with pytest.raises(RecordingFaultError, match="A2") as caught:
        open_recording(path)
    assert caught.value.fault == "unit"
    (tmp_path / "a.toml").write_text('channels.leave_out = ["A2"]')
    with open_recording(path) as recording:
        assert recording.channel_names == ("A1",)


def test_nwb_scalars_as_arrays_of_one_element(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{LFP}/starting_time"]
        start = file.create_dataset(f"{LFP}/starting_time", data=np.array([[2.0]]))
        start.attrs["rate"] = np.array([250.0])
        data = file[f"{LFP}/data"]
        data.attrs["conversion"] = np.array([data.attrs["conversion"]])
        data.attrs["offset"] = np.array([0.5])

    with open_recording(spoil(change)) as recording:
        assert (recording.start_s, recording.sampling_rate_hz) == (2.0, 250.0)
        assert abs(np.mean(recording.read(0, 100)) - 0.5) < 0.01


def test_a_stated_unit_of_nwb_counts(spoil: Spoil, recording_path: Path) -> None:
    def change(file: h5py.File) -> None:
        data = file[f"{LFP}/data"]
        data.attrs["unit"], data.attrs["conversion"] = "microvolts", data.attrs["conversion"] * 1e6

    with open_recording(spoil(change)) as turned, open_recording(recording_path) as stated:
        np.testing.assert_allclose(turned.read(0, 50), stated.read(0, 50), rtol=1e-9)


def test_a_unit_that_the_conversion_says_again_is_a_fault(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        data = file[f"{LFP}/data"]
        data.attrs["unit"], data.attrs["conversion"] = "uV", 1e-6

    path = spoil(change)
    with pytest.raises(RecordingFaultError, match="twice") as caught:
        open_recording(path)
    assert caught.value.fault == "unit"
    with h5py.File(path, "r+") as file:  # as the message says
        file[f"{LFP}/data"].attrs["unit"] = "volts"
    with open_recording(path) as recording:
        assert np.isfinite(recording.read(0, 50)).all()
