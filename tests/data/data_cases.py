"""Settings and names that the tests of sessions share."""

from __future__ import annotations

from pathlib import Path

from real_recordings import real_data

from realm.data.config import DataConfig
from realm.signal import SignalConfig
from realm.simulation.write import BEHAVIOR_PATH

SIGNAL = SignalConfig()
DATA = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)


def shared(folder: str) -> list[Path]:
    """Recordings of the shared data, or skip where they are absent."""
    return sorted(real_data(folder).glob("*.nwb"))
