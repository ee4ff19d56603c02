"""The kinds of recordings that can be read, and where a new one is added.

To add a format: write a module in `formats` with a function `(path, lfp_path) -> Recording`, import
nothing heavy at its top, and add one entry to `FORMATS`. Another package adds one by an entry point
of the group `realm.formats` that names a `Format`. What a `recording.toml` says about any file
(`description`) is laid over it here.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from realm import extensions
from realm.recordings.description import FOLDER_DESCRIPTION, find_description
from realm.recordings.fault import RecordingFaultError, clear_errors
from realm.recordings.overlay import NO_DESCRIPTION, overlay
from realm.recordings.recording import Identity, Recording

ARRAY_SUFFIXES = (".mat", ".npz", ".h5", ".hdf5", ".zarr")
BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_(ieeg|eeg)")


NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")  # folders of a BIDS data set


class Format(NamedTuple):
    """One kind of recording.

    Attributes:
        name: for people.
        recognizes: whether a path that exists is one; looks at the name first, then at little.
        reader: "module:function" of `(path, lfp_path) -> Recording`, loaded on first use.
        needs: the package that reads it; empty where nothing more is needed.
        identify: "module:function" of `(path) -> Identity`, where that can be had faster than by
            opening the recording.
        described: its files are recordings only where a description has a part [samples].
        folder: a folder can be one recording.
    """

    name: str
    recognizes: Callable[[Path], bool]
    reader: str
    needs: str = ""
    identify: str = ""
    described: bool = False
    folder: bool = False


def has_suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Whether a name ends in one of these, in capitals or not."""
    return lambda path: path.suffix.lower() in suffixes


def _is_bids(path: Path) -> bool:
    """A data file of BIDS, named by its entities, in its folder."""
    return (
        BIDS_NAME.fullmatch(path.stem) is not None
        and path.suffix.lower() in (".vhdr", ".edf")
        and path.parent.name in ("ieeg", "eeg")
    )


def _is_torch_brain(path: Path) -> bool:
    """A session written by torch_brain, and none that this package has prepared."""
    if path.suffix.lower() != ".h5" or not path.is_file():
        return False
    from realm.recordings import hdf

    if not hdf.is_hdf5(path):
        return False
    try:
        with hdf.open_hdf5(path) as file:
            kind = hdf.text(file.attrs.get("object", ""))
            return kind == "Data" and not {"provenance", "chain", "features"} <= set(file)
    except (ValueError, OSError, RuntimeError, KeyError):
        return False  # damaged or in use: whoever opens it says so


def is_axona(path: Path) -> bool:
    """The settings of a DACQ trial (EEGLAB uses the same ending)."""
    if path.suffix.lower() != ".set" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(10) == b"trial_date"


def _is_arrays(path: Path) -> bool:
    """A container of named arrays; what they mean is said by a description."""
    suffix = path.suffix.lower()
    return suffix in ARRAY_SUFFIXES and (suffix == ".zarr" or not path.is_dir())


# The first that recognizes a path reads it.
_IN = "realm.recordings.formats"
FORMATS = (
    Format(
        "NWB", has_suffix(".nwb"), f"{_IN}.nwb:open_nwb", identify=f"{_IN}.nwb_contents:identify"
    ),
    Format("BIDS-iEEG", _is_bids, f"{_IN}.bids:open_bids", "mne"),
    Format("EDF", has_suffix(".edf"), f"{_IN}.edf:open_edf"),
    Format("BrainVision", has_suffix(".vhdr"), f"{_IN}.brainvision:open_brainvision", "mne"),
    Format(
        "Blackrock",
        has_suffix(*(f".ns{kind}" for kind in range(1, 7))),
        f"{_IN}.neo:open_blackrock",
        "neo",
    ),
    Format("Plexon", has_suffix(".plx"), f"{_IN}.plexon:open_plexon", "neo"),
    Format("Spike2", has_suffix(".smr"), f"{_IN}.neo:open_spike2", "neo"),
    Format("Open Ephys", has_suffix(".oebin"), f"{_IN}.open_ephys:open_open_ephys"),
    Format("Axona", is_axona, f"{_IN}.axona:open_axona"),
    Format("torch_brain", _is_torch_brain, f"{_IN}.torch_brain:open_torch_brain"),
    Format("arrays", _is_arrays, f"{_IN}.arrays:open_arrays", described=True, folder=True),
)


NO_WAY = (
    "none; convert it to NWB, or describe arrays in .mat, .npz, .h5 or .zarr by a "
    f"{FOLDER_DESCRIPTION}"
)
_NEUROCONV = "convert it to NWB with neuroconv"
WAYS_OUT = {
    ".ncs": f"Neuralynx, which is not read; {_NEUROCONV} (NeuralynxRecordingInterface)",
    ".rhd": f"Intan, which is not read; {_NEUROCONV} (IntanRecordingInterface)",
    ".rhs": f"Intan, which is not read; {_NEUROCONV} (IntanRecordingInterface)",
    ".meta": f"SpikeGLX, which is not read; {_NEUROCONV} (SpikeGLXRecordingInterface, the lf band)",
    ".pl2": f"PL2, which is not read; export it as .plx in OfflineSorter, or {_NEUROCONV}",
    ".smrx": "64-bit Spike2, which is not read; export it in Spike2 as .smr (32-bit) or MATLAB",
    ".tev": f"TDT, which is not read; {_NEUROCONV} (TdtRecordingInterface)",
    ".bdf": "BDF, which is not read; save it as EDF or BrainVision, for instance with mne",
    ".fif": "mne's own format, which is not read; save it as EDF or BrainVision with mne",
    ".nev": "Blackrock's events; name the .ns1 to .ns6 file with the samples beside it",
    ".eeg": "the samples of BrainVision; name the .vhdr file beside it",
    ".vmrk": "the markers of BrainVision; name the .vhdr file beside it",
    ".dat": "samples of Open Ephys; name the structure.oebin of its recording",
}  # by suffix: what it is, and how it is read all the same


def way_out(path: Path) -> str:
    """What a file of a format that is not read is, and what to do; empty where that is unknown."""
    return WAYS_OUT.get(path.suffix.lower(), "")


def format_names() -> tuple[str, ...]:
    """The names of all formats, those of other packages last."""
    return extensions.names("formats", [kind.name for kind in FORMATS])


def format_of(path: Path) -> Format | None:
    """The kind of recording that `path` is, or None."""
    return next((kind for kind in _formats() if kind.recognizes(path)), None)


def open_recording(
    path: Path | str, lfp_path: str | None = None, doubtful: bool = False
) -> Recording:
    """Open a recording of any supported format.

    Args:
        path: of the file, or of the folder that is one recording.
        lfp_path: the neural series, where the file has several.
        doubtful: also one whose times are in doubt (`SampleGrid.doubt`).

    Raises:
        ValueError: the file or what it says cannot be used; the message says what to do.
    """
    path = _inside(Path(path))
    if not path.exists():
        raise ValueError(f"{path}: expected a recording here, found no file; check the path")
    kind = format_of(path)
    if path.is_dir() and not (kind is not None and kind.folder):
        raise ValueError(_no_recording(path))
    if kind is None:
        raise ValueError(
            f"{path}: expected a recording of a known kind ({', '.join(format_names())}), but this "
            f"is {way_out(path) or NO_WAY}"
        )
    recording: Recording = _call(kind, kind.reader, path, lfp_path)
    try:
        if recording.signal.grid.doubt and not doubtful:
            raise RecordingFaultError("irregular_time", recording.signal.grid.doubt)
        description = find_description(path) or NO_DESCRIPTION
        with clear_errors(path, f"{kind.name} data"):
            return overlay(recording, description)
    except BaseException:
        recording.close()
        raise


def identify(path: Path | str) -> Identity:
    """Which session a recording is, without a look at its samples where that is possible.

    Raises:
        ValueError: it cannot be read.
    """
    path = _inside(Path(path))
    kind = format_of(path) if path.exists() else None
    if kind is not None and kind.identify and find_description(path) is None:
        found: Identity = _call(kind, kind.identify, path)
        return found
    with open_recording(path) as recording:
        return recording.identity


def find_recordings(folder: Path | str) -> list[Path]:
    """The recordings in `folder` and below, sorted; `folder` itself where it is one recording.

    A `recording.toml` may say which files of its folder are recordings. Files of arrays count where
    one describes them. Hidden files and those that macOS leaves (`._name`) are passed over, and in
    a BIDS data set the folders `derivatives`, `sourcedata`, `code` and `stimuli`.

    Raises:
        ValueError: there are none.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ValueError(
            f"{folder}: expected recordings ({', '.join(format_names())}) in this folder, but it "
            "is not there; check the path or name another folder"
        )
    own = _inside(folder)
    if _is_recording(own):
        return [own]
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: expected a folder of recordings or a recording ("
            f"{', '.join(format_names())}), but this file is none; name the folder it lies in"
        )
    candidates = sorted(_candidates(folder))
    found = [path for path in candidates if _is_recording(path)]
    if not found:
        arrays = [path.name for path in candidates if _is_arrays(path)]
        hint = (
            f"; {arrays[0]} and {len(arrays) - 1} more hold arrays, write a {FOLDER_DESCRIPTION} "
            "beside them that names these"
            if arrays
            else ""
        )
        unread = [path.name for path in candidates if way_out(path)]
        if unread and not hint:
            hint = f"; {unread[0]} is {way_out(Path(unread[0]))}"
        raise ValueError(
            f"{folder}: expected recordings ({', '.join(format_names())}) in this folder or below, "
            f"found none{hint or '; name another folder'}"
        )
    return found


def _formats() -> Iterator[Format]:
    """This package's formats; then those of others, which are loaded one at a time."""
    yield from FORMATS
    for name in format_names()[len(FORMATS) :]:
        kind = extensions.load("formats", name)
        if not isinstance(kind, Format):
            raise ValueError(
                f"{name}: expected the entry point of realm.formats to name a Format, got "
                f"{kind!r}; correct or remove that package"
            )
        yield kind


def _call(kind: Format, function: str, path: Path, *arguments: Any) -> Any:
    """Call "module:function" of a format; whatever goes wrong names the file."""
    module, _, name = function.partition(":")
    try:
        with clear_errors(path, f"{kind.name} data"):
            return getattr(importlib.import_module(module), name)(path, *arguments)
    except ImportError as error:
        raise ValueError(
            f"{path}: expected {kind.needs or error.name} to be installed, which reads {kind.name} "
            f"({error}); run pip install 'realm-lfp[formats]'"
        ) from error


def is_stray(path: Path) -> bool:
    """Whether a file holds nothing of a recording: macOS and Windows leave such files."""
    return path.name.startswith("._") or path.name in (".DS_Store", "Thumbs.db", "desktop.ini")


def _candidates(folder: Path) -> Iterator[Path]:
    """Every file, and every folder that is one recording, but nothing inside such a folder."""
    inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
    names = {path.name for path in inner}
    bids = "dataset_description.json" in names or any(name.startswith("sub-") for name in names)
    for path in inner:
        if path.is_file() or any(kind.folder and kind.recognizes(path) for kind in _formats()):
            yield path
        elif path.is_dir() and not (bids and path.name in NOT_RAW):
            yield from _candidates(path)


def _is_recording(path: Path) -> bool:
    kind = format_of(path)
    if kind is None:
        return False
    description = find_description(path)
    if description is None:
        return not kind.described
    if kind.described and description.samples is None:
        return False
    return fnmatch.fnmatch(path.name, description.files)


def _inside(path: Path) -> Path:
    """A folder that holds one Open Ephys recording stands for it."""
    inner = path / "structure.oebin"
    return inner if inner.is_file() else path


def _no_recording(folder: Path) -> str:
    """What to say of a folder where one recording is expected."""
    try:
        found = [str(path.relative_to(folder)) for path in find_recordings(folder)]
    except ValueError:
        found = []
    listed = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
    what = f"with {listed}; name one of these" if found else "without any; name a recording"
    if folder.suffix.lower() == ".nwb":
        what = "(NWB in Zarr is not read); export it as one NWB file (HDF5)"
    return f"{folder}: expected one recording, found a folder {what}"


def _open(path: Path | str, lfp_path: str | None = None) -> Recording:
    """`Recording.open`, as it was called before `open_recording`."""
    warnings.warn(
        "Recording.open goes with the next release; use realm.recordings.open_recording",
        DeprecationWarning,
        stacklevel=2,
    )
    return open_recording(path, lfp_path)


Recording.open = staticmethod(_open)
