"""Store a simulated session as an NWB file, laid out like the recordings this package reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from realm.recordings.nwb.write import new_nwb
from realm.simulation.simulate import SimulatedSession

VOLTS_PER_COUNT = 1e-8
BEHAVIOR_PATH = "behavior/Position/hand"
SPIKES_PATH = "ecephys/threshold_crossings"


def write_session(path: Path | str, simulated: SimulatedSession) -> Path:
    """Write LFP (int16), hand position and spike counts to `path`, atomically.

    Behavior lies at `BEHAVIOR_PATH` and the counts at `SPIKES_PATH`, both inside processing/.

    Raises:
        OSError: the folder cannot be written or the disk is full; an earlier file is kept.
    """
    with new_nwb(path) as (_, io):
        io.write(_document(simulated))
    return Path(path)


def _document(simulated: SimulatedSession) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    day = int(simulated.session_id.rpartition("day")[2] or 0)
    file = NWBFile(
        session_description="simulated reaching",
        identifier=simulated.session_id,
        session_id=simulated.session_id,
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day),
        subject=Subject(
            subject_id=simulated.subject,
            species="Macaca mulatta",
            sex="U",
            age="P8Y",
            description="simulated",
        ),
    )
    electrodes = _electrodes(file, simulated)
    _neural(file, simulated, electrodes)
    _hand(file, simulated)
    return file


def _electrodes(file: Any, simulated: SimulatedSession) -> Any:
    group = file.create_electrode_group(
        "array", description="simulated", location="M1", device=file.create_device("array")
    )
    file.add_electrode_column("channel_name", "name of the channel")
    file.add_electrode_column("bad", "flagged by the experimenter")
    rows = zip(simulated.channel_names, simulated.regions, simulated.bad_channels, strict=True)
    for name, region, bad in rows:
        file.add_electrode(group=group, location=region, channel_name=name, bad=bool(bad))
    everything = list(range(len(simulated.channel_names)))
    return file.create_electrode_table_region(everything, "all channels")


def _neural(file: Any, simulated: SimulatedSession, electrodes: Any) -> None:
    from pynwb import H5DataIO, TimeSeries
    from pynwb.ecephys import LFP, ElectricalSeries

    module = file.create_processing_module("ecephys", "LFP and spike counts")
    lfp = LFP()
    module.add(lfp)
    counts = np.rint(simulated.lfp_uv * 1e-6 / VOLTS_PER_COUNT)
    series = ElectricalSeries(
        name="ElectricalSeriesLFP",
        data=H5DataIO(np.clip(counts, -32768, 32767).astype(np.int16), compression="gzip"),
        electrodes=electrodes,
        rate=float(simulated.sampling_rate_hz),
        conversion=VOLTS_PER_COUNT,
    )
    lfp.add_electrical_series(series)
    spikes = TimeSeries(
        name="threshold_crossings",
        data=H5DataIO(simulated.spike_counts, compression="gzip"),
        unit="count",
        rate=_rate(simulated),
    )
    module.add(spikes)


def _hand(file: Any, simulated: SimulatedSession) -> None:
    from pynwb import H5DataIO
    from pynwb.behavior import Position, SpatialSeries

    hand = SpatialSeries(
        name="hand",
        data=H5DataIO(simulated.behavior.values.astype(np.float32), compression="gzip"),
        rate=_rate(simulated),
        unit=simulated.behavior.unit,
        reference_frame="centre of the workspace",
    )
    module = file.create_processing_module("behavior", "hand")
    module.add(Position(spatial_series=hand))


def _rate(simulated: SimulatedSession) -> float:
    times = simulated.behavior.timestamps_s
    return float(round((len(times) - 1) / (times[-1] - times[0]), 6))
