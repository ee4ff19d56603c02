"""What an NWB file holds: who and when, which neural series, which behavior."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from realm.recordings import hdf
from realm.recordings.recording import Identity, iso_time, safe

INVALID = "intervals/invalid_times"
DEEPEST = 6  # levels of groups that are searched


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


def invalid_times(path: Path, file: h5py.File) -> tuple[tuple[float, float], ...]:
    """The spans of time that the file declares invalid, in seconds.

    Raises:
        ValueError: the table has no finite start and stop for each span.
    """
    if hdf.find(file, INVALID) is None:
        return ()
    columns = [hdf.find(file, f"{INVALID}/{name}") for name in ("start_time", "stop_time")]
    found = [c[()].astype(float).reshape(-1) for c in columns if isinstance(c, h5py.Dataset)]
    if len(found) != 2 or len(found[0]) != len(found[1]) or not np.isfinite(found).all():
        raise ValueError(
            f"{path}: expected a finite start_time and stop_time for each span of {INVALID}; "
            "correct this table in the file"
        )
    return tuple(zip(found[0].tolist(), found[1].tolist(), strict=True))


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
            "Set lfp to one of these paths, or to several joined by ' + '"
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
