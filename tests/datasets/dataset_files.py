"""Small files as the authors of each public dataset write theirs: names, axes, units and rates.

Behavior is smooth and random; every channel is a mix of what is to be decoded, plus noise, so that
a linear decoder must find it again if units, axes and clocks were read as they are meant.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

Floats = NDArray[np.float64]
DURATION_S = 66.0


def wander(times: Floats, dims: int, seed: int) -> tuple[Floats, Floats]:
    """Position and velocity, (times, dims): eight slow waves each; velocity has variance 1."""
    rng = np.random.default_rng(seed)
    position, velocity = np.zeros((2, len(times), dims))
    for dim in range(dims):
        for hz in rng.uniform(0.4, 1.5, 8):
            phase, w = rng.uniform(0, 2 * np.pi), 2 * np.pi * hz
            velocity[:, dim] += np.cos(w * times + phase) / 2
            position[:, dim] += np.sin(w * times + phase) / (2 * w)
    return position, velocity


def field(drive: Floats, channels: int, seed: int, rms: float) -> Floats:
    """(times, channels): a mix of `drive`, (times, dims), and as much white noise."""
    rng = np.random.default_rng(seed + 100)
    mix = rng.normal(size=(drive.shape[1], channels))
    return rms * (drive @ mix + rng.normal(size=(len(drive), channels)))


def cells(file: h5py.File, name: str, texts: list[str]) -> None:
    """A cell array of texts, (n, 1), as MATLAB v7.3 writes it."""
    found = []
    for i, text in enumerate(texts):
        codes = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
        found.append(file.create_dataset(f"#refs#/{name}{i}", data=codes).ref)
    file.create_dataset(name, data=np.array([found], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    file[name].attrs["MATLAB_class"] = np.bytes_("cell")


def makin_sabes(folder: Path) -> None:
    """Two clocks that begin at 100 s; the finger is the cursor in the tracker's axes."""
    rate, start, names = 24414.0625, 100.0, ["M1 001", "M1 002", "M1 003", "S1 001"]
    stamps = start + np.arange(int(DURATION_S * rate)) / rate
    _, drive = wander(stamps, 2, 1)
    with h5py.File(folder / "indy_20160927_06.nwb", "w") as file:
        group = file.create_group("acquisition/timeseries/broadband")
        counts = np.rint(field(drive, 4, 1, 2e-5) / 1e-8).clip(-32768, 32767)
        group.create_dataset("data", data=counts.astype(np.int16)).attrs["conversion"] = 1e-8
        group.create_dataset("timestamps", data=stamps)
        group.create_dataset("electrode_names", data=[name.encode() for name in names])
        file["general/extracellular_ephys/electrode_map"] = np.zeros((4, 3))
    times = start + np.arange(int(DURATION_S * 250)) / 250
    cursor = 50 * wander(times, 2, 1)[0]  # mm
    depth = np.full(len(times), 3.0)  # cm
    finger = np.stack([depth, -cursor[:, 0] / 10, -cursor[:, 1] / 10])
    with h5py.File(folder / "indy_20160927_06.mat", "w") as file:
        file["t"], file["cursor_pos"], file["finger_pos"] = times[None], cursor.T, finger
        file["target_pos"] = cursor.T
        cells(file, "chan_names", names)


def flint_2012(folder: Path) -> None:
    """Six trials of 11 s with half a second between; one neuron has no LFP, one has a copy."""
    trials = []
    for i in range(6):
        time = 20 + i * 11.5 + np.arange(1100) / 100
        velocity = wander(time, 2, 2)[1]
        fast = time[0] + np.arange(22000) / 2000
        lfp = field(wander(fast, 2, 2)[1], 3, 2, 5.0)
        neurons = np.zeros((5, 1), dtype=[("Spike", object), ("LFP", object)])
        for j, column in enumerate([lfp[:, 0], lfp[:, 1], None, lfp[:, 0], lfp[:, 2]]):
            empty = np.zeros((0, 0))
            neurons[j, 0] = (time[:3, None], empty if column is None else column[:, None])
        hand = np.column_stack([velocity, np.zeros(len(time))])
        trials.append((time[:, None], hand, hand, neurons))
    kinds = [("Time", object), ("HandVel", object), ("HandPos", object), ("Neuron", object)]
    array = np.zeros((6, 1), dtype=kinds)
    for i, trial in enumerate(trials):
        array[i, 0] = trial
    subject = np.zeros((1, 1), dtype=[("Trial", object)])
    subject[0, 0] = (array,)
    savemat(folder / "Flint_2012_e2.mat", {"Subject": subject})


def reach_trials() -> list[dict[str, Any]]:
    """24 trials of 3 s in bins of 10 ms, two channels in two bands each."""
    guide = np.array([[1, 0.5, 5], [1, 100, 200], [2, 0.5, 5], [2, 100, 200]], dtype=float)
    found = []
    for i in range(24):
        ends = i * 10 + (1 + np.arange(300)) / 100
        position, velocity = wander(ends, 2, 3)
        power = 50 + field(velocity, 4, 3, 3.0)
        found.append(
            {
                "bin_size": 0.01,
                "pos": position,
                "vel": 10 * velocity,
                "M1_lfp": power,
                "M1_lfp_guide": guide,
                "result": "R",
            }
        )
    return found


def gallego_chowdhury(folder: Path) -> None:
    """MATLAB v5."""
    trials = reach_trials()
    array = np.zeros((1, len(trials)), dtype=[(name, object) for name in trials[0]])
    for i, trial in enumerate(trials):
        array[0, i] = tuple(trial.values())
    savemat(folder / "Chewie_CO_CS_2016-10-21.mat", {"trial_data": array})


def gallego_chowdhury_v73(folder: Path) -> None:
    """The same as MATLAB v7.3: a group with an array of references for each field."""
    trials = reach_trials()
    with h5py.File(folder / "Chewie_CO_CS_2016-10-21.mat", "w") as file:
        group = file.create_group("trial_data")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for name in trials[0]:
            found = []
            for i, trial in enumerate(trials):
                value: Any = trial[name]
                if isinstance(value, str):
                    value = np.array([ord(letter) for letter in value], dtype=np.uint16)
                stored = np.atleast_2d(value).T
                found.append(file.create_dataset(f"#refs#/{name}{i}", data=stored).ref)
            column = np.array(found, dtype=h5py.ref_dtype)[:, None]
            group.create_dataset(name, data=column, dtype=h5py.ref_dtype)


def ajile12(folder: Path) -> None:
    """Microvolts with a conversion, pose with a conversion of NaN, a flag `good`."""
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.behavior import Position, SpatialSeries
    from pynwb.ecephys import ElectricalSeries
    from pynwb.file import Subject

    times = np.arange(int(DURATION_S * 500)) / 500
    file = NWBFile(
        session_description="no description",
        identifier="a",
        session_id="3",
        session_start_time=datetime(2000, 1, 1, tzinfo=UTC),
        subject=Subject(subject_id="01", species="Homo sapiens", sex="U", age="P30Y"),
    )
    device = file.create_device("GRID")
    group = file.create_electrode_group("GRID", description="", device=device, location="unknown")
    for _ in range(4):
        file.add_electrode(x=0.0, y=0.0, z=0.0, location="unknown", filtering="", group=group)
    file.add_electrode_column("good", "good electrodes", data=[True, True, True, False])
    region = file.create_electrode_table_region([0, 1, 2, 3], "all electrodes")
    file.add_acquisition(
        ElectricalSeries(
            name="ElectricalSeries",
            data=field(wander(times, 2, 4)[1], 4, 4, 20.0),
            electrodes=region,
            rate=500.0,
            conversion=1e-6,
        )
    )
    frames = np.arange(int(DURATION_S * 30)) / 30
    pose = {"L_Wrist": 300 + 40 * wander(frames, 2, 5)[0], "R_Wrist": 80 * wander(frames, 2, 4)[0]}
    series = [
        SpatialSeries(
            name=name, data=values, reference_frame="unknown", rate=30.0, conversion=np.nan
        )
        for name, values in pose.items()
    ]
    module = file.create_processing_module("behavior", "pose data")
    module.add(Position(spatial_series=series))
    path = folder / "sub-01" / "sub-01_ses-3_behavior+ecephys.nwb"
    path.parent.mkdir()
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    with h5py.File(path, "r+") as stored:  # as the extension ndx-events stores it
        events = stored.create_group("processing/behavior/ReachEvents")
        events.attrs["neurodata_type"] = "Events"
        events.attrs["description"] = "r_wrist"
        events["timestamps"] = [1.0, 2.0]


def bci4_fingers(folder: Path) -> None:
    """The glove at 25 Hz, each value held for 40 ms; the test labels in a file of their own."""
    parts = {}
    for part, seed in (("train", 6), ("test", 7)):
        times = np.arange(int(DURATION_S * 1000)) / 1000
        flexion = wander(times, 5, seed)[1]
        glove = wander(np.arange(len(times)) // 40 / 25, 5, seed)[1]
        parts[part] = field(flexion, 6, 6, 700.0), 1 + glove
    inner = folder / "BCI_Competion4_dataset4_data_fingerflexions"
    inner.mkdir()
    train, test = parts["train"], parts["test"]
    savemat(
        inner / "sub1_comp.mat",
        {"train_data": train[0], "train_dg": train[1], "test_data": test[0]},
    )
    savemat(inner / "sub1_testlabels.mat", {"test_dg": test[1]})


def stanford_fingers(folder: Path) -> None:
    """Integers in units of the amplifier, a code for the region of each channel."""
    times = np.arange(int(DURATION_S * 1000)) / 1000
    flexion = wander(times, 5, 8)[1]
    inner = folder / "fingerflex" / "data" / "bp"
    inner.mkdir(parents=True)
    savemat(
        inner / "bp_fingerflex.mat",
        {
            "data": np.rint(field(flexion, 6, 8, 700.0)).astype(np.int32),
            "flex": np.rint(2000 + 300 * flexion).astype(np.uint16),
            "elec_regions": np.array([[1], [1], [3], [4], [6], [8]], dtype=np.uint8),
            "cue": np.zeros((len(times), 1), dtype=np.uint8),
            "locs": np.zeros((6, 3)),
        },
    )


def run_about(times: Floats, seed: int) -> tuple[Floats, Floats]:
    """Position in cm of a rat that turns slowly, and its speed about 20 cm/s, (times, 1)."""
    speed = 20 + 6 * wander(times, 1, seed)[1]
    turn = 0.5 * times
    step = np.column_stack([np.cos(turn), np.sin(turn)]) * speed * np.diff(times)[0]
    return np.cumsum(step, axis=0), speed


def rodents(folder: Path) -> None:
    """Counts of 8 bits at 250 Hz from two tetrodes, position at 50 Hz."""
    name = "11015-13120410"
    eeg_times, times = np.arange(16500) / 250, np.arange(3300) / 50
    eeg = field((run_about(eeg_times, 9)[1] - 20) / 6, 2, 9, 12.0)
    counts = np.rint(eeg).clip(-128, 127)
    position = run_about(times, 9)[0]
    savemat(folder / f"{name}_EEG.mat", {"EEG": counts[:, :1]})
    savemat(folder / f"{name}_EG2.mat", {"EG2": counts[:, 1:]})
    savemat(
        folder / f"{name}_POS.mat",
        {"post": times[:, None], "posx": position[:, :1], "posy": position[:, 1:]},
    )
    savemat(folder / f"{name}_T1C1.mat", {"ts": times[:10, None]})


def rodents_axona(folder: Path) -> None:
    """The same as a trial of the Axona system: settings, one EEG, LED positions in pixels."""
    eeg_times, times = np.arange(16500) / 250, np.arange(3300) / 50
    eeg = field((run_about(eeg_times, 9)[1] - 20) / 6, 2, 9, 12.0)[:, 0]
    counts = np.rint(eeg).clip(-128, 127).astype(np.int8)
    stem = folder / "11015-13120410"
    stem.with_suffix(".set").write_bytes(
        b"trial_date Monday, 13 Dec 2004\r\nADC_fullscale_mv 1500\r\nEEG_ch_1 1\r\n"
        b"gain_ch_0 5000\r\n"
    )
    stem.with_suffix(".eeg").write_bytes(
        b"trial_date Monday, 13 Dec 2004\r\nsample_rate 250.0 hz\r\nbytes_per_sample 1\r\n"
        b"num_EEG_samples 16500\r\ndata_start" + counts.tobytes() + b"\r\ndata_end\r\n"
    )
    pixels = np.rint(400 + 5 * run_about(times, 9)[0]).astype(int).tolist()  # 500 for a metre
    records = b"".join(
        struct.pack(">I8h", i, x, y, 1023, 1023, 20, 0, 20, 0) for i, (x, y) in enumerate(pixels)
    )
    stem.with_suffix(".pos").write_bytes(
        b"trial_date Monday, 13 Dec 2004\r\nnum_pos_samples 3300\r\ntimebase 50 hz\r\n"
        b"pixels_per_metre 500\r\ndata_start" + records + b"\r\ndata_end\r\n"
    )


WRITERS = {
    "makin-sabes": makin_sabes,
    "flint-2012": flint_2012,
    "gallego-chowdhury": gallego_chowdhury,
    "ajile12": ajile12,
    "bci4-fingers": bci4_fingers,
    "stanford-fingers": stanford_fingers,
    "rodents": rodents,
}
