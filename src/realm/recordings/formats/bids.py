"""BIDS-iEEG: a data file (BrainVision or EDF) and the tables beside it.

Types, units and bad channels come from `*_channels.tsv`, regions from `*_electrodes.tsv`, and
behavior on its own clock from `*_physio.tsv.gz` and `*_stim.tsv.gz`. The entities of the file's
name are subject and session. Format: https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from realm.recordings.channels import finished, is_electrode, select, series_of_channels
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.brainvision import open_brainvision
from realm.recordings.formats.edf import open_edf
from realm.recordings.recording import Identity, NamedBehavior, Recording, Signal, TimeSeries, safe

REGION_COLUMNS = ("region", "anatomy", "location", "brain_region")
Table = list[dict[str, str]]


def open_bids(path: Path, lfp_path: str | None = None) -> Recording:
    """Open one run by its data file.

    Raises:
        ValueError: the data or a table cannot be read, or they name other channels.
    """
    read = open_edf if path.suffix.lower() == ".edf" else open_brainvision
    recording = read(path, lfp_path)
    try:
        channels = _beside(path, "channels.tsv")
        electrodes = _beside(path, "electrodes.tsv", of_run=False)
        signal, behavior = recording.signal, recording.behavior_sources
        if channels is not None:
            labelled = _labelled(path, signal, _table(channels), electrodes)
            signal, series = labelled
            behavior = (series, *behavior)
        continuous = {
            file.name.removesuffix(".tsv.gz"): partial(_continuous, file)
            for suffix in ("physio", "stim")
            for file in sorted(path.parent.glob(f"{_entities(path)}*_{suffix}.tsv.gz"))
        }
        files = (*recording.files, *(f for f in (channels, electrodes) if f is not None))
        files += tuple(path.parent / f"{name}.tsv.gz" for name in continuous)
        return Recording(
            path,
            _identity(path, recording.started_at),
            signal,
            (*behavior, NamedBehavior(continuous)),
            recording.close,
            files,
        )
    except BaseException:
        recording.close()
        raise


def _entities(path: Path) -> str:
    """The name without its last part: sub-01_ses-02_task-reach_run-1."""
    return path.stem.rpartition("_")[0]


def _identity(path: Path, started_at: datetime | None) -> Identity:
    subject = path.stem.split("_")[0].removeprefix("sub-")
    return Identity(safe(_entities(path)), subject, started_at)


def _beside(path: Path, suffix: str, of_run: bool = True) -> Path | None:
    """The table that applies to a run: of its own name, or of fewer of its entities."""
    entities = _entities(path).split("_")
    for kept in range(len(entities), 0, -1):
        start = "_".join(entities[:kept])
        exact = path.parent / f"{start}_{suffix}"
        if exact.is_file():
            return exact
        if not of_run:  # electrodes carry a space entity
            found = sorted(path.parent.glob(f"{start}_space-*_{suffix}"))
            if found:
                return found[0]
    return None


def _table(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected a table of BIDS, but it cannot be read ({error}); correct the file"
        ) from error


def _labelled(
    path: Path, signal: Signal, channels: Table, electrodes: Path | None
) -> tuple[Signal, NamedBehavior]:
    """The neural channels with flags and regions; every other channel is behavior."""
    rows = {row.get("name", ""): row for row in channels}
    missing = [name for name in signal.channel_names if name not in rows]
    if missing:
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected every channel in its channels.tsv, which names {len(rows)}, but "
            f"{len(missing)} are not there: {', '.join(missing[:4])}; correct channels.tsv",
        )
    regions = _regions(electrodes)
    names = signal.channel_names
    full = replace(
        signal,
        regions=tuple(regions.get(name, "") for name in names),
        bad_channels=tuple(rows[name].get("status", "") == "bad" for name in names),
    )
    neural = [is_electrode(kind=rows[name].get("type", "")) for name in names]
    others = NamedBehavior(
        {
            name: partial(
                series_of_channels, path, signal, name, (name,), unit=rows[name].get("units", "V")
            )
            for name, yes in zip(names, neural, strict=True)
            if not yes
        }
    )
    return select(path, full, [i for i, yes in enumerate(neural) if yes]), others


def _regions(electrodes: Path | None) -> dict[str, str]:
    if electrodes is None:
        return {}
    rows = _table(electrodes)
    column = next((c for c in REGION_COLUMNS if rows and c in rows[0]), None)
    return (
        {}
        if column is None
        else {row["name"]: (row[column] or "").replace("n/a", "") for row in rows}
    )


def _continuous(path: Path) -> TimeSeries:
    """Columns of a compressed table without a header; its clock is in the JSON of its name."""
    said = path.with_name(path.name.removesuffix(".tsv.gz") + ".json")
    try:
        about = json.loads(said.read_text(encoding="utf-8"))
        rate, start = float(about["SamplingFrequency"]), float(about["StartTime"])
        names = tuple(str(name) for name in about["Columns"])
        text = gzip.decompress(path.read_bytes()).decode()
        values = np.genfromtxt(io.StringIO(text), delimiter="\t", dtype=np.float64)
        values = values.reshape(-1, len(names))
    except (OSError, KeyError, TypeError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: expected columns of numbers and a JSON file with SamplingFrequency, "
            f"StartTime and Columns, but they cannot be read ({error}); correct them"
        ) from error
    units = {str(about[n].get("Units", "")) for n in names if isinstance(about.get(n), dict)}
    unit = units.pop() if len(units) == 1 else "arbitrary"
    times = start + np.arange(len(values)) / rate
    name = path.name.removesuffix(".tsv.gz")
    return finished(path, name, times, values, unit or "arbitrary", names)
