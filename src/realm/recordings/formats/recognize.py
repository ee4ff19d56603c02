"""Which kind of recording a path is, from its name and at most a few attributes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

ARRAY_SUFFIXES = (".mat", ".npz", ".h5", ".hdf5", ".zarr")
BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_(ieeg|eeg)")


def has_suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Whether a name ends in one of these, in capitals or not."""
    return lambda path: path.suffix.lower() in suffixes


def is_bids(path: Path) -> bool:
    """A data file of BIDS, named by its entities, with its channels.tsv or in its folder."""
    return (
        BIDS_NAME.fullmatch(path.stem) is not None
        and path.suffix.lower() in (".vhdr", ".edf")
        and path.parent.name in ("ieeg", "eeg")
    )


def is_blackrock(path: Path) -> bool:
    """Continuous data of a Cerebus: .ns1 to .ns6."""
    return re.fullmatch(r"\.ns[1-6]", path.suffix.lower()) is not None


def is_array_file(path: Path) -> bool:
    """A container of named arrays; what they mean is said by a description."""
    return has_suffix(*ARRAY_SUFFIXES)(path)


def is_torch_brain(path: Path) -> bool:
    """A session written by torch_brain, and none that this package has prepared."""
    if not has_suffix(".h5")(path) or not path.is_file():
        return False
    import h5py

    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        kind = file.attrs.get("object", "")
        kind = kind.decode() if isinstance(kind, bytes) else kind
        return kind == "Data" and not {"provenance", "chain", "features"} <= set(file)


def is_axona(path: Path) -> bool:
    """The settings of a DACQ trial (EEGLAB uses the same ending)."""
    if path.suffix.lower() != ".set" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(10) == b"trial_date"
