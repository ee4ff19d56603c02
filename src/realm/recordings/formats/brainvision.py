"""BrainVision: a header (.vhdr), samples (.eeg) and markers (.vmrk), read by mne.

A paused recording starts again with a marker "New Segment" that carries the time of day; what lies
between two segments is a gap. Format: BrainVision Core Data Format 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import is_electrode, split
from realm.recordings.formats.spelling import ignoring_case, linked
from realm.recordings.grid import SampleGrid, at_rate, from_segments
from realm.recordings.recording import Recording, Signal, named_after_file
from realm.volts import volts_per

SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,(\d+),[^,]*,[^,]*(?:,(\d{20}))?", re.MULTILINE)
FILE_ENTRY_BYTES = re.compile(rb"^(DataFile|MarkerFile)=(.+?)\s*$", re.MULTILINE)
FILE_ENTRY = re.compile(r"^(DataFile|MarkerFile)=(.+?)\s*$", re.MULTILINE)


def open_brainvision(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a BrainVision recording by its header.

    Raises:
        ValueError: a part is missing or damaged, or a segment does not say when it began.
    """
    _no_lfp(path, lfp_path)
    try:
        raw, close = _read(path)
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a BrainVision header with its data and marker files, but they "
            f"cannot be read ({error}); copy all three again"
        ) from error
    rate = float(raw.info["sfreq"])
    grid = _grid(path, _markers(path), rate, int(raw.n_times))
    # mne's own types are guesses from units that it knows: the header's unit says more
    types = raw.get_channel_types()
    units = [
        str(raw._orig_units.get(name, "V" if kind == "eeg" else ""))
        for name, kind in zip(raw.ch_names, types, strict=True)
    ]
    neural = [
        is_electrode(kind="EOG" if kind == "eog" else None, unit=unit)
        for kind, unit in zip(types, units, strict=True)
    ]
    read_in = ["V" if volts_per(unit) is not None else unit for unit in units]
    signal, behavior = split(path, _all_channels(raw, grid, units), neural, read_in)
    return Recording(
        path,
        named_after_file(path, raw.info["meas_date"]),
        signal,
        (behavior,),
        close,
        _files(path),
    )


def _read(path: Path) -> tuple[Any, Callable[[], None]]:
    """The recording as mne reads it, and what closes it.

    mne wants small letters in the suffixes, and does not know that $b stands for the name of the
    header. Where that matters, it gets a header of its own beside links to the files.
    """
    import mne

    files, content = _beside(path), path.read_bytes()
    entries = FILE_ENTRY_BYTES.findall(content)
    plain = {file.name.encode() for file in files.values() if file.suffix == file.suffix.lower()}
    if path.suffix == ".vhdr" and all(name in plain for _, name in entries):
        raw = mne.io.read_raw_brainvision(path, preload=False, verbose="error")
        return raw, raw.close
    names = {"DataFile": "samples.eeg", "MarkerFile": "markers.vmrk"}
    place = linked({names[kind]: file for kind, file in files.items()})
    try:
        for entry, name in entries:
            known = names[entry.decode()].encode()
            content = content.replace(entry + b"=" + name, entry + b"=" + known)
        header = place.folder / "header.vhdr"
        header.write_bytes(content)
        raw = mne.io.read_raw_brainvision(header, preload=False, verbose="error")
    except BaseException:
        place.close()
        raise

    def close() -> None:
        raw.close()
        place.close()

    return raw, close


def _all_channels(raw: Any, grid: SampleGrid, units: list[str]) -> Signal:
    names = tuple(str(name) for name in raw.ch_names)
    used = [float(channel["range"]) for channel in raw.info["chs"]]  # what mne takes for the unit
    gain = np.array([(volts_per(u) or by) / by for u, by in zip(units, used, strict=True)])

    def read(first: int, stop: int) -> NDArray[np.float64]:
        stored: NDArray[np.float64] = raw.get_data(start=first, stop=stop).T
        return np.asarray(stored * gain)

    bad = tuple(name in raw.info["bads"] for name in names)
    return Signal("channels", grid, names, ("",) * len(names), bad, 16, read)


def _no_lfp(path: Path, lfp_path: str | None) -> None:
    if lfp_path is not None:
        raise ValueError(
            f"{path}: expected no setting lfp, because this format holds one series, got "
            f"{lfp_path!r}; remove lfp"
        )


def _grid(path: Path, markers: str, rate: float, n_stored: int) -> SampleGrid:
    """Segments by their times of day; a single one needs none."""
    found = [(int(at) - 1, stamp) for at, stamp in SEGMENT.findall(markers)]
    found = [f for f in found if f[0] < n_stored]
    if len(found) <= 1:
        return at_rate(rate, 0.0, n_stored)
    times = [_time(stamp) for _, stamp in found]
    if None in times or found[0][0] != 0:
        raise ValueError(
            f"{path}: expected every New Segment marker to say when it began, but at least one of "
            f"{len(found)} does not; export each segment as a file of its own"
        )
    known = [time for time in times if time is not None]
    starts = [(time - known[0]).total_seconds() for time in known]
    counts = np.diff([*(at for at, _ in found), n_stored]).tolist()
    return from_segments(path, "the New Segment markers", rate, starts, counts)


def _time(stamp: str) -> datetime | None:
    """Date and time of a marker; 20 zeros, and what is no date, are unknown."""
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S%f")
    except ValueError:
        return None


def _markers(path: Path) -> str:
    found = _beside(path).get("MarkerFile")
    return "" if found is None else found.read_text(encoding="utf-8", errors="replace")


def _files(path: Path) -> tuple[Path, ...]:
    return (path, *_beside(path).values())


def _beside(path: Path) -> dict[str, Path]:
    """The data and marker files that exist, their names in small letters or in capitals.

    The header may write $b for its own name.
    """
    content = path.read_bytes()
    try:
        header = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        header = content.decode("latin-1")
    named = {kind: name.replace("$b", path.stem) for kind, name in FILE_ENTRY.findall(header)}
    found = {kind: ignoring_case(path.parent / name) for kind, name in named.items()}
    return {kind: file for kind, file in found.items() if file is not None}
