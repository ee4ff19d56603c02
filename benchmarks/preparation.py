"""Preparing recordings: processor time of field potentials, and of broadband with its peak memory.

    python -m benchmarks.preparation FILE FOLDER   # prints {"cpu_s": …, "peak_bytes": …} as JSON

Field potentials: a simulated session is read from NWB, its guard and normalization are fitted, and
features and behavior are written to a prepared file. The reference is scipy's filters of the same
bands over the samples in memory.

Broadband: prepared in a process of its own. The file is made up: behavior of a simulated session,
and 16-bit samples of brown noise with white noise on it, written in blocks. What is timed is all of
`prepare_session`, from the hash of the file to the prepared file; starting Python and reading
compiled code from its cache are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import h5py
import numpy as np

from benchmarks.signal_chain import PlainBands
from benchmarks.timing import Row, alternate, compare, limit
from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.recordings.open import open_recording
from realm.recordings.write import LFP
from realm.signal import SignalChain, SignalConfig
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import BEHAVIOR_PATH, write_session

MINUTES = 1.0  # of field potentials
PATTERN_S = 2.0  # of different samples
REAL_TIME = 1 / 60
MOST_BYTES = 1e9
MOST_GROWTH = 1.1  # of memory, over ten times the length


def measure(quick: bool) -> list[Row]:
    """One row for a session of field potentials, in this process; then those of broadband."""
    channels, rate, rounds = (4, 250.0, 1) if quick else (32, 1000.0, 5)
    config = SimulationConfig(
        channels=channels, sampling_rate_hz=rate, behavior_rate_hz=50.0, duration_s=60 * MINUTES
    )
    signal = SignalConfig()
    data = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)
    plain = PlainBands(signal, rate, channels)
    with TemporaryDirectory() as folder:
        source = write_session(Path(folder) / "session.nwb", simulate_session(config))
        with open_recording(source) as recording:
            samples = recording.read(0, recording.n_samples)
        fresh = count()  # a prepared file that is there already would be left alone
        seconds = alternate(
            {
                "prepare": lambda: prepare_session(
                    source, Path(folder) / f"{next(fresh)}", signal, data
                ),
                "sosfilt": lambda: plain.step(samples, plain.initial_state()),
            },
            rounds,
        )
    return [
        compare(
            f"Preparation, {channels} channels, {rate:g} Hz",
            seconds["prepare"] / MINUTES,
            "s per min",
            "sosfilt per band, samples in memory",
            seconds["sosfilt"] / MINUTES,
        ),
        *_broadband(quick),
    ]


class Cost(NamedTuple):
    """What one preparation took."""

    cpu_s: float
    peak_bytes: int


def _broadband(quick: bool) -> list[Row]:
    """Three rows: the time of a long recording, its peak memory, and that over a short one's."""
    channels, rate_hz, short_min, long_min = (4, 6000.0, 1, 2) if quick else (96, 3e4, 1, 10)
    short, long = (preparation(channels, rate_hz, minutes) for minutes in (short_min, long_min))
    name = f"Preparation, {long_min:g} min of {channels} channels at {rate_hz / 1000:g} kHz"
    return [
        limit(name, np.array([long.cpu_s]), "s", "1/60 of real time", 60 * long_min * REAL_TIME),
        _bytes(f"{name}, peak memory", long.peak_bytes, "1 GB", MOST_BYTES, 1.0),
        _bytes(
            f"{name}, memory over length",
            long.peak_bytes,
            f"{short_min:g} min of it",
            short.peak_bytes,
            MOST_GROWTH,
        ),
    ]


def preparation(channels: int, rate_hz: float, minutes: float) -> Cost:
    """Make up a recording of this size and prepare it in another process."""
    with TemporaryDirectory() as folder:
        source = write_broadband(Path(folder) / "broadband.nwb", channels, rate_hz, 60 * minutes)
        command = [
            sys.executable,
            "-m",
            "benchmarks.preparation",
            str(source),
            f"{folder}/prepared",
        ]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
        return Cost(**json.loads(done.stdout))


def write_broadband(path: Path, channels: int, rate_hz: float, seconds: float) -> Path:
    """Write a recording of this size; memory does not grow with its length."""
    config = SimulationConfig(
        channels=channels, sampling_rate_hz=100.0, behavior_rate_hz=50.0, duration_s=seconds
    )
    write_session(path, simulate_session(config))
    rng = np.random.default_rng(0)
    shape = (round(PATTERN_S * rate_hz), channels)
    brown = rng.normal(size=shape).cumsum(axis=0)
    counts = 500 * (brown - brown.mean(axis=0)) / brown.std(axis=0) + 30 * rng.normal(size=shape)
    pattern = counts.astype(np.int16)
    with h5py.File(path, "r+") as file:
        series = file[LFP]
        attributes = dict(series["data"].attrs)
        del series["data"]
        n = round(seconds * rate_hz)
        data = series.create_dataset("data", (n, channels), np.int16)
        data.attrs.update(attributes)
        series["starting_time"].attrs["rate"] = rate_hz
        for start in range(0, n, len(pattern)):
            data[start : start + len(pattern)] = pattern[: n - start]
    return path


def _bytes(name: str, value: float, reference: str, allowed: float, target: float) -> Row:
    ratio, met = value / allowed, value / allowed <= target
    return Row(name, value / 1e6, "MB", reference, allowed / 1e6, ratio, ratio, ratio, target, met)


def _prepare(source: Path, folder: Path) -> Cost:
    names = ["a", "b"]
    assert SignalChain(SignalConfig(), 3e4, names).engine == "numba"  # reads the compiled code
    data = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)
    start = time.process_time()
    prepare_session(source, folder, SignalConfig(), data)
    taken = time.process_time() - start
    return Cost(taken, _peak_bytes())


def _peak_bytes() -> int:
    """Most memory that this program had; what `getrusage` tells counts its parent's as well."""
    status = Path("/proc/self/status").read_text().split()
    return 1024 * int(status[status.index("VmHWM:") + 1])


if __name__ == "__main__":
    print(json.dumps(_prepare(Path(sys.argv[1]), Path(sys.argv[2]))._asdict()))
