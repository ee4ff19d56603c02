"""Settings and names that the tests of sessions share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
from real_recordings import real_data

from realm.data.config import DataConfig
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulationConfig
from realm.simulation.write import BEHAVIOR_PATH

SMALL = SimulationConfig(duration_s=60, channels=5, sampling_rate_hz=250, behavior_rate_hz=50)
SIGNAL = SignalConfig()
DATA = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)
LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = f"processing/{BEHAVIOR_PATH}"

Spoil = Callable[[Callable[[h5py.File], None]], Path]


def shared(folder: str) -> list[Path]:
    """Recordings of the shared data, or skip where they are absent."""
    return sorted(real_data(folder).glob("*.nwb"))
