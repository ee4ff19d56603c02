"""A simulated recording without a fault, and a way to spoil copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="session")
def clean_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of 6 channels at 250 Hz; none is dead."""
    config = SimulationConfig(
        duration_s=120, channels=6, dead_channels=0, sampling_rate_hz=250, behavior_rate_hz=50
    )
    return write_session(tmp_path_factory.mktemp("clean") / "clean.nwb", simulate_session(config))


@pytest.fixture
def spoiled(clean_path: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the recording after `change(file)`."""

    def make(change: Change) -> Path:
        path = tmp_path / "spoiled.nwb"
        shutil.copy(clean_path, path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make
