"""Simulated recordings for the demonstration and for trying the commands without data."""

from __future__ import annotations

from pathlib import Path

from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session


def write_simulated(
    folder: Path | str, subjects: int, days: int, duration_s: float, channels: int, seed: int
) -> list[Path]:
    """Simulate reaching sessions and store each as an NWB file; files that are there stay."""
    folder = Path(folder)
    config = SimulationConfig(
        subjects=subjects, days=days, duration_s=duration_s, channels=channels, seed=seed
    )
    paths = []
    for session in simulate(config):
        path = folder / f"{session.session_id}.nwb"
        paths.append(path if path.exists() else write_session(path, session))
    return paths
