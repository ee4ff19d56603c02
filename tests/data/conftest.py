"""One small simulated session as a file, and a way to spoil copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from data_cases import DATA, SIGNAL, SMALL, Spoil

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSet
from realm.simulation.simulate import SimulatedSession, SimulationConfig, simulate, simulate_session
from realm.simulation.write import write_session


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


@pytest.fixture(scope="session")
def prepared_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared sessions: two days of one subject, and another with other channels."""
    folder = tmp_path_factory.mktemp("prepared")
    small = SimulationConfig(
        subjects=1, days=2, duration_s=60, channels=5, sampling_rate_hz=250, behavior_rate_hz=50
    )
    other = SimulationConfig(
        subjects=2, days=1, duration_s=90, channels=3, sampling_rate_hz=500, behavior_rate_hz=100
    )
    for session in [*simulate(small), list(simulate(other))[1]]:
        source = write_session(folder / "nwb" / f"{session.session_id}.nwb", session)
        prepare_session(source, folder, SIGNAL, DATA)
    return folder


@pytest.fixture(scope="session")
def prepared(prepared_dir: Path) -> PreparedSet:
    return PreparedSet.load(prepared_dir)
