"""Preparing a recording: processor seconds per minute of it, against filtering it once.

A simulated session is read from NWB, its guard and normalization are fitted, and features and
behavior are written to a prepared file. The reference is scipy's filters of the same bands over
the samples in memory. A long broadband recording follows, see `broadband.py`.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import broadband
from benchmarks.signal_chain import PlainBands
from benchmarks.timing import Row, alternate, compare
from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.recordings.recording import Recording
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import BEHAVIOR_PATH, write_session

MINUTES = 1.0


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
        with Recording.open(source) as recording:
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
        *broadband.measure(quick),
    ]
