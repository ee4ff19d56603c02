"""Prepared sessions that the tests of sessions share."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_cases import DATA, SIGNAL
from nwb_cases import recording_path, simulated, spoil  # noqa: F401

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSet
from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session


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
