"""The kinds of recordings that can be read, and where a new one is added.

To add a format: write a module beside this one with a function `(path, lfp_path) -> Recording`,
import nothing heavy at its top, and add one entry to `FORMATS`. What a `recording.toml` says about
any file (`description`) is laid over it here.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from realm.recordings.formats.description import FOLDER_DESCRIPTION, Description, find_description
from realm.recordings.formats.recognize import (
    has_suffix,
    is_array_file,
    is_axona,
    is_bids,
    is_blackrock,
    is_torch_brain,
)
from realm.recordings.nwb import contents as catalog
from realm.recordings.recording import Recording


class Format(NamedTuple):
    """One kind of recording.

    Attributes:
        name: for people.
        recognizes: whether a path that exists is one; looks at the name first, then at little.
        reader: "module:function" of `(path, lfp_path) -> Recording`, loaded on first use; a name
            that begins with a dot is relative to this package.
        needs: the package that reads it, none for what training needs anyway.
    """

    name: str
    recognizes: Callable[[Path], bool]
    reader: str
    needs: str = ""


# The first that recognizes a path reads it.
FORMATS = (
    Format("NWB", has_suffix(".nwb"), "..nwb.reader:open_nwb"),
    Format("BIDS-iEEG", is_bids, ".bids:open_bids", "edfio or mne"),
    Format("EDF", has_suffix(".edf"), ".edf:open_edf", "edfio"),
    Format(
        "BrainVision",
        has_suffix(".vhdr"),
        ".brainvision:open_brainvision",
        "mne",
    ),
    Format("Blackrock", is_blackrock, ".vendors:open_blackrock", "neo"),
    Format("Plexon", has_suffix(".plx"), ".vendors:open_plexon", "neo"),
    Format("Spike2", has_suffix(".smr"), ".vendors:open_spike2", "neo"),
    Format("Open Ephys", has_suffix(".oebin"), ".open_ephys:open_open_ephys"),
    Format("Axona", is_axona, ".axona:open_axona"),
    Format("torch_brain", is_torch_brain, ".torch_brain_file:open_torch_brain"),
    Format("arrays", is_array_file, ".arrays_file:open_arrays"),
)


def format_of(path: Path) -> Format | None:
    """The kind of recording that `path` is, or None."""
    return next((kind for kind in FORMATS if kind.recognizes(path)), None)


def open_recording(path: Path, lfp_path: str | None = None) -> Recording:
    """Open any supported recording; see `Recording.open`."""
    path = _inside(path)
    if not path.exists():
        raise ValueError(f"{path}: expected a recording here, found no file; check the path")
    kind = format_of(path)
    if kind is None:
        known = ", ".join(f.name for f in FORMATS)
        raise ValueError(
            f"{path}: expected a recording of a known kind ({known}), but this is none; convert it "
            f"to NWB, or describe arrays in .mat, .npz, .h5 or .zarr by a {FOLDER_DESCRIPTION}"
        )
    module, _, function = kind.reader.partition(":")
    try:
        read = getattr(importlib.import_module(module, __package__), function)
        recording: Recording = read(path, lfp_path)
    except ImportError as error:
        raise ValueError(
            f"{path}: expected {kind.needs or error.name} to be installed, which reads {kind.name} "
            f"({error}); run pip install 'realm-lfp[formats]'"
        ) from error
    description = find_description(path)
    return recording if description is None else _described(recording, description)


def identify(path: Path | str) -> tuple[str, str]:
    """Session id and subject of a recording, without looking at its data where that is possible.

    Raises:
        ValueError: it cannot be read.
    """
    path = _inside(Path(path))
    if has_suffix(".nwb")(path):
        return catalog.identify(path)
    with open_recording(path) as recording:
        return recording.session_id, recording.subject


def find_recordings(folder: Path | str) -> list[Path]:
    """The recordings in `folder` and below, sorted.

    A `recording.toml` may say which files of its folder are recordings. Files of arrays count where
    one describes them.

    Raises:
        ValueError: there are none.
    """
    folder = Path(folder)
    found = [path for path in sorted(_candidates(folder)) if _is_recording(path)]
    if not found:
        arrays = [path.name for path in sorted(_candidates(folder)) if is_array_file(path)]
        hint = (
            f"; {arrays[0]} and {len(arrays) - 1} more hold arrays, write a {FOLDER_DESCRIPTION} "
            "beside them that names these"
            if arrays
            else ""
        )
        raise ValueError(
            f"{folder}: expected recordings ({', '.join(kind.name for kind in FORMATS)}) in this "
            f"folder or below, found none{hint or '; name another folder'}"
        )
    return found


def _candidates(folder: Path) -> Iterator[Path]:
    """Every file, and every folder that is one recording, but nothing inside such a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix.lower() == ".zarr" or path.is_file():
            yield path
        elif path.is_dir() and not path.name.startswith("."):
            yield from _candidates(path)


def _is_recording(path: Path) -> bool:
    kind = format_of(path)
    if kind is None:
        return False
    description = find_description(path)
    if description is None:
        return kind.name != "arrays"
    if kind.name == "arrays" and description.samples is None:
        return False
    return fnmatch.fnmatch(path.name, description.files)


def _inside(path: Path) -> Path:
    """A folder that holds one Open Ephys recording stands for it."""
    inner = path / "structure.oebin"
    return inner if inner.is_file() else path


def _described(recording: Recording, description: Description) -> Recording:
    from realm.recordings.formats.overlay import overlay

    try:
        return overlay(recording, description)
    except BaseException:
        recording.close()
        raise
