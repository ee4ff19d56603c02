"""Store simulated sessions as NWB files, laid out like the recordings this package reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.recording import TimeSeries
from realm.recordings.write import Samples, SessionContent, by_slices, write_nwb
from realm.simulation.simulate import SimulatedSession, SimulationConfig, simulate

VOLTS_PER_COUNT = 1e-8
BEHAVIOR_PATH = "behavior/Position/hand"
SPIKES_PATH = "ecephys/threshold_crossings"


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


def write_session(path: Path | str, simulated: SimulatedSession) -> Path:
    """Write LFP (int16), hand position and spike counts to `path`, atomically.

    Behavior lies at `BEHAVIOR_PATH` and the counts at `SPIKES_PATH`, both inside processing/.

    Raises:
        OSError: the folder cannot be written or the disk is full; an earlier file is kept.
    """
    return write_nwb(path, _content(simulated))


def _content(simulated: SimulatedSession) -> SessionContent:
    hand = simulated.behavior
    counts = simulated.spike_counts.astype(np.float64)
    day = int(simulated.session_id.rpartition("day")[2] or 0)
    return SessionContent(
        session_id=simulated.session_id,
        subject=simulated.subject,
        species="Macaca mulatta",
        description="simulated reaching",
        samples=Samples(
            channel_names=simulated.channel_names,
            regions=simulated.regions,
            bad=simulated.bad_channels,
            n_samples=len(simulated.lfp_uv),
            dtype=np.dtype(np.int16),
            volts_per_count=VOLTS_PER_COUNT,
            read=by_slices(_counts(simulated.lfp_uv)),
            rate_hz=float(simulated.sampling_rate_hz),
        ),
        behavior={
            BEHAVIOR_PATH: hand,
            SPIKES_PATH: TimeSeries(hand.timestamps_s, counts, "count", simulated.channel_names),
        },
        stored_as={BEHAVIOR_PATH: "float32", SPIKES_PATH: "uint8"},
        start=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day),
    )


def _counts(lfp_uv: NDArray[np.float64]) -> NDArray[np.int16]:
    counts = np.rint(lfp_uv * 1e-6 / VOLTS_PER_COUNT)
    return np.clip(counts, -32768, 32767).astype(np.int16)
