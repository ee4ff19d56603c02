"""One small, clean recording of every format, with behavior: what all readers have in common."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import edfio
import h5py
import numpy as np
import pybv
import scipy.io
from acquisition_files import (
    write_axona,
    write_blackrock,
    write_open_ephys,
    write_plexon,
    write_spike2,
)

RATE, SAMPLES, CHANNELS = 500, 2000, 3
HAND_HZ = 50
RNG = np.random.default_rng(7)
LFP_UV = RNG.normal(0, 80, (SAMPLES, CHANNELS))
COUNTS = np.round(LFP_UV * 10).astype(np.int16)
HAND = np.cumsum(RNG.normal(0, 1, (SAMPLES * HAND_HZ // RATE, 2)), axis=0)
NAMES = [f"A{i + 1}" for i in range(CHANNELS)]
ARRAYS = {"lfp": LFP_UV, "fs": np.array([float(RATE)]), "hand": HAND}
DESCRIPTION = """
samples = { array = "lfp", axes = ["time", "channel"], unit = "uV", rate = "fs" }
behavior.hand = { array = "hand", axes = ["time", "channel"], unit = "cm", rate_hz = 50 }
"""


def nwb(folder: Path) -> Path:
    from realm.simulation.simulate import SimulationConfig, simulate_session
    from realm.simulation.write import write_session

    small = SimulationConfig(duration_s=4, channels=3, sampling_rate_hz=500, behavior_rate_hz=50)
    return write_session(folder / "day.nwb", simulate_session(small))


def edf(folder: Path) -> Path:
    signals = [
        edfio.EdfSignal(LFP_UV[:, i], RATE, label=name, physical_dimension="uV")
        for i, name in enumerate(NAMES)
    ]
    hand = edfio.EdfSignal(HAND[:, 0], HAND_HZ, label="hand", physical_dimension="cm")
    file = edfio.Edf(
        [*signals, hand], annotations=[edfio.EdfAnnotation(1, None, "go")], data_record_duration=1
    )
    file.write(folder / "day.edf")
    return folder / "day.edf"


def bids(folder: Path) -> Path:
    """EDF, its tables, and a physio table whose JSON lies at the root of the data set."""
    place = folder / "sub-01" / "ses-02" / "ieeg"
    place.mkdir(parents=True)
    stem = "sub-01_ses-02_task-reach"
    path = edf(folder).rename(place / f"{stem}_ieeg.edf")
    rows = [f"{name}\tSEEG\tuV\tgood" for name in NAMES] + ["hand\tMISC\tcm\tn/a"]
    (place / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + "\n".join(rows))
    rows = [f"{name}\tM{i}" for i, name in enumerate(NAMES)]
    table = place / "sub-01_ses-02_space-Other_electrodes.tsv"
    table.write_text("name\tregion\n" + "\n".join(rows))
    text = "\n".join(f"{x:.6f}\t{y:.6f}" for x, y in HAND)
    (place / f"{stem}_physio.tsv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    about = {"SamplingFrequency": HAND_HZ, "StartTime": 0.0, "Columns": ["x", "y"]}
    (folder / "task-reach_physio.json").write_text(json.dumps(about))
    (folder / "sub-01" / "sub-01_physio.json").write_text(
        json.dumps({c: {"Units": "cm"} for c in "xy"})
    )
    (folder / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.9.0"}')
    return path


def brainvision(folder: Path) -> Path:
    data = np.vstack([LFP_UV.T * 1e-6, np.repeat(HAND[:, :1].T, RATE // HAND_HZ, axis=1) * 1e-6])
    pybv.write_brainvision(
        data=data,
        sfreq=RATE,
        ch_names=[*NAMES, "joystick"],
        fname_base="day",
        folder_out=folder,
        unit="µV",
        resolution=0.01,
    )
    (folder / "recording.toml").write_text('behavior.stick = { channels = ["joystick"] }')
    return folder / "day.vhdr"


def blackrock(folder: Path) -> Path:
    path = write_blackrock(folder / "day.ns2", [(0, COUNTS), (75_000, COUNTS)])
    (folder / "recording.toml").write_text('behavior.stick = { channels = ["chan3"] }')
    return path


def plexon(folder: Path) -> Path:
    path = write_plexon(folder / "day.plx", [(0, COUNTS), (100_000, COUNTS)])
    (folder / "recording.toml").write_text('behavior.stick = { channels = ["AD03"] }')
    return path


def spike2(folder: Path) -> Path:
    return write_spike2(folder / "day.smr", [(0, COUNTS)], [b"mV", b"mV", b"deg"])


def open_ephys(folder: Path) -> Path:
    """Two streams: a probe, and analog inputs beside it."""
    path = write_open_ephys(folder / "day", COUNTS, np.arange(SAMPLES) + 100, RATE)
    about = json.loads(path.read_text())
    (first,) = about["continuous"]
    channels = [{"channel_name": f"AI{i}", "bit_volts": 1e-4, "units": "V"} for i in (0, 1)]
    second = {**first, "folder_name": "NI-DAQmx/", "num_channels": 2, "channels": channels}
    other = path.parent / "continuous" / "NI-DAQmx"
    other.mkdir()
    stick = np.repeat(HAND, RATE // HAND_HZ, axis=0) * 100
    (other / "continuous.dat").write_bytes(stick.astype("<i2").tobytes())
    np.save(other / "sample_numbers.npy", np.arange(SAMPLES) + 100)
    path.write_text(json.dumps({**about, "continuous": [first, second]}))
    return path


def axona(folder: Path) -> Path:
    channels = np.clip(COUNTS[:, :2] // 30, -120, 120).astype(np.int8)
    position = np.abs(HAND * 5) + 300
    return write_axona(folder / "day.set", channels, [5000, 8000], position)


def torch_brain(folder: Path) -> Path:
    with h5py.File(folder / "day.h5", "w") as file:
        file.attrs["object"] = "Data"
        for name, values in (("lfp", LFP_UV), ("hand", np.repeat(HAND, 10, axis=0))):
            group = file.create_group(name)
            group.attrs["object"], group.attrs["sampling_rate"] = "RegularTimeSeries", RATE
            group["values"] = values
            group["domain/start"], group["domain/end"] = np.array([0.0]), np.array([4.0])
    (folder / "recording.toml").write_text('unit = "uV"')
    return folder / "day.h5"


def matlab5(folder: Path) -> Path:
    scipy.io.savemat(folder / "day.mat", ARRAYS)
    (folder / "recording.toml").write_text(DESCRIPTION)
    return folder / "day.mat"


def matlab73(folder: Path) -> Path:
    """Behavior lies in a file of its own."""
    with h5py.File(folder / "day.mat", "w", userblock_size=512) as file:
        for name, values in ARRAYS.items():
            file[name] = np.atleast_2d(values).T if name != "fs" else values.reshape(1, 1)
    np.savez(folder / "day_hand.npz", hand=HAND)
    text = DESCRIPTION.replace('array = "hand"', 'file = "{stem}_hand.npz", array = "hand"')
    (folder / "recording.toml").write_text(f'files = "*.mat"\n{text}')
    return folder / "day.mat"


def npz(folder: Path) -> Path:
    """Behavior lies in a table with the names of its columns in the first line."""
    np.savez(folder / "day.npz", **ARRAYS)
    rows = "\n".join(f"{x:.6f},{y:.6f}" for x, y in HAND)
    (folder / "day_hand.csv").write_text(f"x,y\n{rows}\n")
    (folder / "day.toml").write_text("""
samples = { array = "lfp", axes = ["time", "channel"], unit = "uV", rate = "fs" }
behavior.hand = { file = "{stem}_hand.csv", array = ["x", "y"], unit = "cm", rate_hz = 50 }
""")
    return folder / "day.npz"


def hdf5(folder: Path) -> Path:
    with h5py.File(folder / "day.hdf5", "w") as file:
        for name, values in ARRAYS.items():
            file[name] = values
    (folder / "recording.toml").write_text(DESCRIPTION)
    return folder / "day.hdf5"


def zarr(folder: Path) -> Path:
    import zarr as library

    root = library.open_group(folder / "day.zarr", mode="w")
    for name, values in ARRAYS.items():
        root.create_array(name, data=values)
    (folder / "recording.toml").write_text(DESCRIPTION)
    return folder / "day.zarr"


WRITERS: dict[str, Callable[[Path], Path]] = {
    write.__name__: write
    for write in (
        nwb,
        edf,
        bids,
        brainvision,
        blackrock,
        plexon,
        spike2,
        open_ephys,
        axona,
        torch_brain,
        matlab5,
        matlab73,
        npz,
        hdf5,
        zarr,
    )
}
LFP_OF = {"open_ephys": "Acquisition_Board-100.Rhythm Data"}  # where a file has several series
