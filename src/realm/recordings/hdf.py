"""Find objects in an HDF5 file without ever leaving it.

Links inside the file are followed one step at a time; links to other files, data stored outside
the file and virtual data sets are refused, so that the hash of the file covers what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from realm.recordings.fault import RecordingFaultError

MAX_SOFT_LINKS = 16
MAGIC = b"\x89HDF\r\n\x1a\n"
MAGIC_AT = (0, *(512 << k for k in range(12)))  # after a block of the user, as MATLAB writes one
IN_USE = ("unable to lock file", "already open for")  # what HDF5 says of a file that is written


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 by its first bytes, also where another program has it open."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        for at in MAGIC_AT:
            stream.seek(at)
            found = stream.read(len(MAGIC))
            if found == MAGIC:
                return True
            if len(found) < len(MAGIC):
                break
    return False


def open_hdf5(path: Path) -> h5py.File:
    """Open `path` for reading.

    Raises:
        ValueError: it is missing, a folder, in use by a program that writes it, truncated or not
            HDF5.
    """
    if path.is_dir():
        raise ValueError(
            f"{path}: expected an HDF5 file, found a folder (NWB in Zarr is not read); export the "
            "recording as one HDF5 file"
        )
    if not path.is_file():
        raise ValueError(f"{path}: expected a recording here, found no file; check the path")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if any(words in str(error) for words in IN_USE):
            raise ValueError(
                f"{path}: expected a file that no program is writing, but it is in use by another "
                "program, which has locked it; close the file there, then try again"
            ) from error
        raise ValueError(
            f"{path}: expected an HDF5 file, but it cannot be opened ({error}); "
            "it is truncated or of another format, copy or export it again"
        ) from error


def find(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset | None:
    """The object at `name` (slash separated), or None; soft links inside the file are followed.

    Raises:
        ValueError: a link on the way leads to another file or in a circle, or the data set keeps
            its numbers outside the file.
    """
    node: Any = file
    todo = [part for part in name.split("/") if part]
    hops = 0
    while todo:
        part = todo.pop(0)
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(_outside(file, name, f"a link to {link.filename}:{link.path}"))
        if isinstance(link, h5py.SoftLink):
            hops += 1
            if hops > MAX_SOFT_LINKS:
                raise ValueError(_outside(file, name, "links that lead in a circle"))
            target = link.path if link.path.startswith("/") else f"{node.name}/{link.path}"
            node, todo = file, [p for p in target.split("/") if p not in ("", ".")] + todo
        elif link is None:
            return None
        else:
            node = node[part]
    if isinstance(node, h5py.Dataset) and (node.external or node.is_virtual):
        raise ValueError(_outside(file, name, "a data set whose numbers lie in other files"))
    return node


def referenced(file: h5py.File, reference: h5py.Reference) -> h5py.Group | h5py.Dataset:
    """The object that a reference names.

    Raises:
        ValueError: it keeps its numbers outside the file.
    """
    node = file[reference]
    if isinstance(node, h5py.Dataset) and (node.external or node.is_virtual):
        raise ValueError(_outside(file, str(node.name), "a data set whose numbers lie elsewhere"))
    return node


def children(file: h5py.File, name: str) -> Iterator[tuple[str, h5py.Group]]:
    """The groups directly inside the group `name`, as (full name, group), sorted by name."""
    parent = find(file, name)
    if isinstance(parent, h5py.Group):
        for key in sorted(parent):
            full = f"{name}/{key}" if name else key
            child = find(file, full)
            if isinstance(child, h5py.Group):
                yield full, child


def text(value: Any) -> str:
    """A string attribute or scalar as `str`, bytes decoded."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def neurodata_type(group: h5py.Group) -> str:
    """The NWB type of a group, empty where it states none."""
    return text(group.attrs.get("neurodata_type", ""))


def number(value: Any) -> float:
    """A number, also where it is stored as an array of one element; NaN where it is none."""
    try:
        return float(np.asarray(value).reshape(-1)[0]) if np.size(value) == 1 else float("nan")
    except (TypeError, ValueError):
        return float("nan")


def finite_attribute(path: Path, node: h5py.Dataset, name: str, default: float) -> float:
    """A numeric attribute that must be finite, `default` where absent.

    Raises:
        ValueError: it is NaN, infinite or not a number.
    """
    value = node.attrs.get(name, default)
    found = number(value)
    if not np.isfinite(found):
        raise RecordingFaultError(
            "conversion",
            f"{path}: expected a finite {name} at {node.name}, got {value!r}; "
            f"set the {name} of this series in the file to the true value",
        )
    return found


def _outside(file: h5py.File, name: str, what: str) -> str:
    return (
        f"{file.filename}: expected all data inside this file, but {name} is {what}; "
        "export the recording again with the data copied in"
    )
