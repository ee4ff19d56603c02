"""Files whose names a library expects in another spelling: .NS2 for .ns2, V.EEG for v.eeg."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Linked(NamedTuple):
    """A temporary folder of links; `close` removes it."""

    folder: Path
    close: Callable[[], None]


def linked(wanted: Mapping[str, Path]) -> Linked:
    """A folder in which the files have the names that are wanted: the file behind each name."""
    folder = tempfile.TemporaryDirectory(prefix="realm-names-")
    for name, file in wanted.items():
        _link(Path(folder.name) / name, file.resolve())
    return Linked(Path(folder.name), folder.cleanup)


def _link(name: Path, file: Path) -> None:
    """A link, as far as the system allows: Windows keeps links for some users, and disks apart."""
    for link in (name.symlink_to, name.hardlink_to):
        with contextlib.suppress(OSError, NotImplementedError):
            link(file)
            return
    shutil.copyfile(file, name)


def ignoring_case(path: Path) -> Path | None:
    """The file at `path`, or the only one there whose name differs in capitals alone."""
    if path.is_file():
        return path
    if not path.parent.is_dir():
        return None
    found = [f for f in path.parent.iterdir() if f.name.lower() == path.name.lower()]
    return found[0] if len(found) == 1 and found[0].is_file() else None
