"""Files of acquisition systems that neo reads: Blackrock, Plexon and Spike2."""

from __future__ import annotations

from pathlib import Path

from realm.recordings.formats.neo_recording import open_neo
from realm.recordings.formats.plexon_blocks import PlexonBlocks
from realm.recordings.grid import GAP_PERIODS
from realm.recordings.recording import Recording

BLACKROCK_HZ = {1: 500, 2: 1000, 3: 2000, 4: 10000, 5: 30000, 6: 30000}


def open_blackrock(path: Path, lfp_path: str | None = None) -> Recording:
    """One .nsN file of a Cerebus; pauses are gaps."""
    from neo.rawio import BlackrockRawIO

    kind = int(path.suffix[-1])
    reader = BlackrockRawIO(
        filename=str(path.with_suffix("")),
        nsx_to_load=kind,
        load_nev=False,
        gap_tolerance_ms=GAP_PERIODS * 1000 / BLACKROCK_HZ[kind],
    )
    return open_neo(path, reader, lfp_path)


def open_plexon(path: Path, lfp_path: str | None = None) -> Recording:
    """A .plx file; its slow channels. Where it was paused is read from its blocks."""
    from neo.rawio import PlexonRawIO

    reader = PlexonRawIO(filename=str(path), progress_bar=False)
    return open_neo(path, reader, lfp_path, PlexonBlocks(path).correct)


def open_spike2(path: Path, lfp_path: str | None = None) -> Recording:
    """A .smr file of CED."""
    from neo.rawio import Spike2RawIO

    return open_neo(path, Spike2RawIO(filename=str(path)), lfp_path)
