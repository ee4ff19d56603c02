"""What an NWB file holds: who and when, which neural series, which electrodes, which behavior."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from realm.recordings import hdf
from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import Identity, iso_time, safe

DEEPEST = 6  # levels of groups that are searched
NAME_COLUMNS = ("channel_name", "electrode_name", "label")
BAD_COLUMNS = ("bad", "is_bad", "bad_channel")
BAD_WORDS = ("true", "yes", "bad", "1")


def identify(path: Path) -> Identity:
    """Which session a file holds, without a look at its samples.

    Raises:
        ValueError: it is missing or not HDF5.
    """
    with hdf.open_hdf5(path) as file:
        return identity(path, file)


def identity(path: Path, file: h5py.File) -> Identity:
    """Session, subject and start; the id begins with the subject unless it already names it."""

    def stated(name: str) -> str:
        node = hdf.find(file, name)
        return hdf.text(node[()]).strip() if isinstance(node, h5py.Dataset) else ""

    subject, session = stated("general/subject/subject_id"), stated("general/session_id")
    session = session or path.stem
    if subject and subject not in session:
        session = f"{subject}_{session}"
    session = safe(session)
    return Identity(session, subject or session, iso_time(stated("session_start_time")))


def is_series(file: h5py.File, name: str) -> bool:
    """Whether there is a group with data at `name`."""
    return isinstance(hdf.find(file, name), h5py.Group) and isinstance(
        hdf.find(file, f"{name}/data"), h5py.Dataset
    )


def lfp_candidates(file: h5py.File) -> list[str]:
    """Series in the LFP containers of processing; where there are none, those of acquisition."""

    def of_containers(parent: str) -> list[str]:
        return [
            series
            for name, group in hdf.children(file, parent)
            if hdf.neurodata_type(group) == "LFP" or name.rsplit("/", 1)[-1] == "LFP"
            for series, _ in hdf.children(file, name)
            if is_series(file, series)
        ]

    processed = [s for module, _ in hdf.children(file, "processing") for s in of_containers(module)]
    return processed or of_containers("acquisition") + [
        name
        for name, group in hdf.children(file, "acquisition")
        if hdf.neurodata_type(group) == "ElectricalSeries" and is_series(file, name)
    ]


def choose_lfp(path: Path, file: h5py.File, lfp_path: str | None) -> str:
    """The full name of the neural series: the one asked for, or the only LFP of the file.

    Raises:
        ValueError: there is none, or there are several to choose from; the message lists them.
    """
    if lfp_path is not None:
        name = series_name(file, lfp_path)
        if name is None:
            raise ValueError(
                f"{path}: expected a neural time series at {lfp_path!r}, found none; this file "
                f"has: {all_paths(file)}. Set lfp to one of these paths"
            )
        return name
    candidates = lfp_candidates(file)
    if not candidates:
        raise ValueError(
            f"{path}: expected LFP in processing/*/LFP or an ElectricalSeries in acquisition, "
            f"found none; this file has: {all_paths(file)}. "
            "Set lfp to the path of the neural series, or export the recording with its LFP"
        )
    if len(candidates) > 1:
        raise ValueError(
            f"{path}: expected one LFP series, found {len(candidates)}: {', '.join(candidates)}. "
            "Set lfp to one of these paths"
        )
    return candidates[0]


def series_name(file: h5py.File, path: str) -> str | None:
    """The full name of the time series that a user calls `path`, or None."""
    path = path.strip("/")
    for name in (f"processing/{path}", path):
        if path and is_series(file, name):
            return name
    return None


def behavior_paths(file: h5py.File) -> list[str]:
    """Every time series of the file except electrical ones, as `Recording.behavior` takes them."""
    return _series(file, skip=("LFP", "ElectricalSeries"))


def all_paths(file: h5py.File) -> str:
    """Every time series of the file, as a list for people."""
    return ", ".join(_series(file, skip=())) or "no time series at all"


def _series(file: h5py.File, skip: tuple[str, ...]) -> list[str]:
    found: list[str] = []

    def walk(parent: str) -> None:
        for name, group in hdf.children(file, parent):
            if name.count("/") > DEEPEST or hdf.neurodata_type(group) in skip:
                continue
            if is_series(file, name):
                found.append(name.removeprefix("processing/"))
            else:
                walk(name)

    walk("processing")
    walk("acquisition")
    return found


class Electrodes(NamedTuple):
    """What the table says, one entry per channel in the order of the series."""

    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad_channels: tuple[bool, ...]


def read_electrodes(
    path: Path, file: h5py.File, series: str, n_channels: int, n_stored: int
) -> Electrodes:
    """Electrodes of `series`; a series without a table has channels named by their position.

    Names come from a name column with distinct entries, otherwise from the electrode ids, so that
    one electrode has one name on every day.

    Raises:
        ValueError: the number of electrodes is not the number of channels, or an electrode is
            not in the table.
    """
    region = hdf.find(file, f"{series}/electrodes")
    if not isinstance(region, h5py.Dataset):
        numbered = tuple(str(i) for i in range(n_channels))
        return Electrodes(numbered, ("",) * n_channels, (False,) * n_channels)
    rows = np.atleast_1d(region[()]).astype(np.int64)
    if len(rows) != n_channels:
        turned = len(rows) == n_stored
        raise RecordingFaultError(
            "transposed" if turned else "electrodes",
            f"{path}: expected as many electrodes as channels at {series}, got {len(rows)} "
            f"electrodes for {n_channels} channels; "
            + ("time and channels are swapped, transpose the data" if turned else "correct them"),
        )
    table = _table(file, region)
    ids = _column(table, "id")
    if ids is None or len(rows) == 0 or rows.min() < 0 or rows.max() >= len(ids):
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected the electrodes of {series} in the electrode table, which has "
            f"{0 if ids is None else len(ids)} rows, got rows up to {rows.max(initial=-1)}; "
            "correct the electrode table in the file",
        )
    names = [str(ids[row]) for row in rows]
    for column in NAME_COLUMNS:
        stored = _column(table, column)
        chosen = [hdf.text(stored[row]).strip() for row in rows] if stored is not None else []
        if chosen and all(chosen) and len(set(chosen)) == len(chosen):
            names = chosen
            break
    if len(set(names)) < len(names):
        names = [str(row) for row in rows]
    where = _column(table, "location")
    regions = [hdf.text(where[row]) if where is not None else "" for row in rows]
    return Electrodes(tuple(names), tuple(regions), tuple(_bad_flags(table, rows)))


def _table(file: h5py.File, region: h5py.Dataset) -> h5py.Group | None:
    reference = region.attrs.get("table")
    if isinstance(reference, h5py.Reference) and reference:
        return file[reference]
    found = hdf.find(file, "general/extracellular_ephys/electrodes")
    return found if isinstance(found, h5py.Group) else None


def _column(table: h5py.Group | None, name: str) -> Any:
    if table is None or not isinstance(table.get(name), h5py.Dataset):
        return None
    column = table[name]
    return None if column.external or column.is_virtual else column[:]


def _bad_flags(table: h5py.Group | None, rows: Any) -> list[bool]:
    for name in BAD_COLUMNS:
        column = _column(table, name)
        if column is None:
            continue
        if column.dtype.kind in "OSU":
            return [hdf.text(column[row]).strip().lower() in BAD_WORDS for row in rows]
        return [bool(np.nan_to_num(column[row]) != 0) for row in rows]
    return [False] * len(rows)
