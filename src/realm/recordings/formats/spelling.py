"""Files whose names a library expects in another spelling: .NS2 for .ns2, V.EEG for v.eeg."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Spelled(NamedTuple):
    """A folder in which files have the names that are wanted; `close` removes a temporary one."""

    folder: Path
    close: Callable[[], None]


def spelled(path: Path, wanted: Mapping[str, Path]) -> Spelled:
    """The folder of `path` where its files have these names already, or a temporary one of links.

    Args:
        path: of the recording.
        wanted: the file behind each name.
    """
    if all(path.parent / name == file for name, file in wanted.items()):
        return Spelled(path.parent, lambda: None)
    folder = tempfile.TemporaryDirectory(prefix="realm-names-")
    for name, file in wanted.items():
        (Path(folder.name) / name).symlink_to(file.resolve())
    return Spelled(Path(folder.name), folder.cleanup)


def ignoring_case(path: Path) -> Path | None:
    """The file at `path`, or the only one there whose name differs in capitals alone."""
    if path.is_file():
        return path
    if not path.parent.is_dir():
        return None
    found = [f for f in path.parent.iterdir() if f.name.lower() == path.name.lower()]
    return found[0] if len(found) == 1 and found[0].is_file() else None
