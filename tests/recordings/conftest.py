"""One small simulated session that the tests write in every format."""

from __future__ import annotations

import pytest
from nwb_cases import recording_path, simulated, spoil  # noqa: F401

from realm.simulation.simulate import SimulatedSession, SimulationConfig, simulate_session


@pytest.fixture(scope="session")
def session() -> SimulatedSession:
    """One minute of 4 channels at 500 Hz with a hand at 50 Hz."""
    return simulate_session(
        SimulationConfig(
            duration_s=60, channels=4, dead_channels=0, sampling_rate_hz=500, behavior_rate_hz=50
        )
    )
