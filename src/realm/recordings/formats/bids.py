"""BIDS-iEEG: a data file (BrainVision or EDF) and the tables beside it.

Types, units and bad channels come from `*_channels.tsv`, regions from `*_electrodes.tsv`, and
behavior on its own clock from `*_physio.tsv.gz` and `*_stim.tsv.gz`. Tables and JSON files of a
folder above apply as well (`bids_sidecars`). The entities of the file's
name are subject and session. Format: https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from realm.recordings.channels import NEURAL_TYPES, finished, is_electrode, split
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.bids_sidecars import applying, continuous, merged_json, name_of
from realm.recordings.formats.brainvision import open_brainvision
from realm.recordings.formats.edf import open_edf
from realm.recordings.hdf import number
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
        channels = next(iter(applying(path, "channels", ".tsv")), None)
        electrodes = next(iter(applying(path, "electrodes", ".tsv", more="space")), None)
        signal, behavior = recording.signal, recording.behavior_sources
        if channels is not None:
            rows = _table(channels)
            _check_read(path, rows, recording.behavior_paths())
            signal, series = _labelled(path, signal, rows, electrodes)
            behavior = (series, *behavior)
        tables = [file for suffix in ("physio", "stim") for file in continuous(path, suffix)]
        series_of = {_short(file): partial(_continuous, file) for file in tables}
        files = [*recording.files, *(f for f in (channels, electrodes) if f is not None), *tables]
        for file in tables:
            files += applying(file, name_of(file).suffix, ".json")
        return Recording(
            path,
            _identity(path, recording.started_at),
            signal,
            (*behavior, NamedBehavior(series_of)),
            recording.close,
            tuple(dict.fromkeys(files)),
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


def _short(table: Path) -> str:
    return table.name.removesuffix(".tsv.gz")


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
    listed = [(row.get("name") or "").strip() for row in channels]
    rows = dict(zip(listed, channels, strict=True))
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected every channel once in its channels.tsv, got {', '.join(twice[:4])} "
            "more than once; give every channel a name of its own",
        )
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
        bad_channels=tuple(_said(rows[name], "status").lower() == "bad" for name in names),
        typed=True,
    )
    neural = [is_electrode(kind=_said(rows[name], "type") or None, name=name) for name in names]
    return split(path, full, neural, ["V"] * len(names))


def _check_read(path: Path, channels: Table, others: list[str]) -> None:
    """Raise where the table calls a channel neural that is in no unit of potential in the data."""
    lost = [
        row["name"]
        for row in channels
        if row.get("name") in others and _said(row, "type").upper() in NEURAL_TYPES
    ]
    if lost:
        raise RecordingFaultError(
            "unit",
            f"{path}: expected a unit of potential for the neural channels of its channels.tsv, "
            f"but the data file states none for {', '.join(lost[:4])}; correct the unit there, or "
            "the type in channels.tsv",
        )


def _said(row: dict[str, str], column: str) -> str:
    """A cell of a table; empty where it is missing or n/a."""
    cell = (row.get(column) or "").strip()
    return "" if cell.lower() == "n/a" else cell


def _regions(electrodes: Path | None) -> dict[str, str]:
    if electrodes is None:
        return {}
    rows = _table(electrodes)
    column = next((c for c in REGION_COLUMNS if rows and c in rows[0]), None)
    return {} if column is None else {_said(row, "name"): _said(row, column) for row in rows}


def _continuous(path: Path) -> TimeSeries:
    """Columns of a compressed table without a header; the JSON files that apply say its clock."""
    try:
        about, _ = merged_json(path, name_of(path).suffix)
        rate, start = (number(about[key]) for key in ("SamplingFrequency", "StartTime"))
        names = tuple(str(name) for name in about["Columns"])
        text = gzip.decompress(path.read_bytes()).decode()
        values = np.genfromtxt(io.StringIO(text), delimiter="\t", dtype=np.float64)
        values = values.reshape(-1, len(names))
    except (OSError, KeyError, TypeError, ValueError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: expected columns of numbers and a JSON file, beside it or above, with "
            f"SamplingFrequency, StartTime and Columns, but they cannot be read ({error}); correct "
            "them"
        ) from error
    if not (np.isfinite([rate, start]).all() and rate > 0):
        raise ValueError(
            f"{path}: expected a SamplingFrequency above 0 Hz and a StartTime in its JSON file, "
            f"got {rate:g} Hz and {start:g} s; correct them"
        )
    columns = [about.get(name) for name in names]
    units = {str(one.get("Units", "")) if isinstance(one, dict) else "" for one in columns}
    unit = units.pop() if len(units) == 1 else "arbitrary"
    times = start + np.arange(len(values)) / rate
    return finished(path, _short(path), times, values, unit or "arbitrary", names)
