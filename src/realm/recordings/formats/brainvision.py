"""BrainVision: a header (.vhdr), samples (.eeg) and markers (.vmrk), read by mne.

A paused recording starts again with a marker "New Segment" that carries the time of day; what lies
between two segments is a gap. Format: BrainVision Core Data Format 1.0.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import is_electrode, split
from realm.recordings.grid import SampleGrid, at_rate, from_segments
from realm.recordings.recording import Recording, Signal, named_after_file

SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,(\d+),[^,]*,[^,]*(?:,(\d{20}))?", re.MULTILINE)
FILE_ENTRY = re.compile(r"^(DataFile|MarkerFile)=(.+?)\s*$", re.MULTILINE)


def open_brainvision(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a BrainVision recording by its header.

    Raises:
        ValueError: a part is missing or damaged, or a segment does not say when it began.
    """
    import mne

    _no_lfp(path, lfp_path)
    try:
        raw = mne.io.read_raw_brainvision(path, preload=False, verbose="error")
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a BrainVision header with its data and marker files, but they "
            f"cannot be read ({error}); copy all three again"
        ) from error
    rate = float(raw.info["sfreq"])
    grid = _grid(path, _markers(path), rate, int(raw.n_times))
    neural = [is_electrode(kind=kind) for kind in raw.get_channel_types()]
    signal, behavior = split(path, _all_channels(raw, grid), neural)
    return Recording(
        path,
        named_after_file(path, raw.info["meas_date"]),
        signal,
        (behavior,),
        raw.close,
        _files(path),
    )


def _all_channels(raw: Any, grid: SampleGrid) -> Signal:
    names = tuple(str(name) for name in raw.ch_names)

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.asarray(raw.get_data(start=first, stop=stop).T, dtype=np.float64)

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
    if not all(stamp for _, stamp in found) or found[0][0] != 0:
        raise ValueError(
            f"{path}: expected every New Segment marker to say when it began, but at least one of "
            f"{len(found)} does not; export each segment as a file of its own"
        )
    times = [datetime.strptime(stamp, "%Y%m%d%H%M%S%f") for _, stamp in found]
    starts = [(time - times[0]).total_seconds() for time in times]
    counts = np.diff([*(at for at, _ in found), n_stored]).tolist()
    return from_segments(path, "the New Segment markers", rate, starts, counts)


def _markers(path: Path) -> str:
    found = _beside(path).get("MarkerFile")
    return "" if found is None else found.read_text(encoding="utf-8", errors="replace")


def _files(path: Path) -> tuple[Path, ...]:
    return (path, *_beside(path).values())


def _beside(path: Path) -> dict[str, Path]:
    """The data and marker files that exist; the header may write $b for its own name."""
    header = path.read_text(encoding="utf-8", errors="replace")
    named = {kind: name.replace("$b", path.stem) for kind, name in FILE_ENTRY.findall(header)}
    return {k: path.parent / name for k, name in named.items() if (path.parent / name).is_file()}
