"""One small simulated session as an NWB file, and a way to spoil copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from realm.simulation.simulate import SimulatedSession, SimulationConfig, simulate_session
from realm.simulation.write import BEHAVIOR_PATH, write_session

SMALL = SimulationConfig(duration_s=60, channels=5, sampling_rate_hz=250, behavior_rate_hz=50)
LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = f"processing/{BEHAVIOR_PATH}"

Spoil = Callable[[Callable[[h5py.File], None]], Path]


@pytest.fixture(scope="session")
def simulated() -> SimulatedSession:
    return simulate_session(SMALL)


@pytest.fixture(scope="session")
def recording_path(simulated: SimulatedSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("nwb") / "a.nwb", simulated)


@pytest.fixture
def spoil(recording_path: Path, tmp_path: Path) -> Spoil:
    """A copy of the recording after `change(file)`."""

    def make(change: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "spoiled.nwb"
        shutil.copy(recording_path, path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make
