"""Take the files out of an archive, each whole or absent."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from realm.datasets.download import Say, check_room
from realm.files import atomic_path


def unpack(archive: Path, say: Say) -> list[Path]:
    """Unpack a zip file into a folder of its name; files that are there with their size stay.

    Raises:
        ValueError: it is damaged, or holds names that lead out of the folder.
        OSError: the disk is full.
    """
    folder = archive.with_suffix("")
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not m.is_dir() and _wanted(m.filename)]
            targets = [_target(archive, folder, m.filename) for m in members]
            todo = [
                (m, path)
                for m, path in zip(members, targets, strict=True)
                if not (path.is_file() and path.stat().st_size == m.file_size)
            ]
            if todo:
                say(f"{archive.name}: unpacking {len(todo)} files")
                check_room(archive, sum(m.file_size for m, _ in todo))
            for member, path in todo:
                with (
                    atomic_path(path) as temporary,
                    file.open(member) as source,
                    temporary.open("wb") as out,
                ):
                    shutil.copyfileobj(source, out, 1 << 20)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{archive}: expected a zip archive, but {error}; remove it and fetch it again"
        ) from error
    return targets


def _wanted(name: str) -> bool:
    """Not what macOS adds."""
    return not name.startswith("__MACOSX/") and not Path(name).name.startswith("._")


def _target(archive: Path, folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(
            f"{archive}: expected names inside the archive, got {name!r}; it is not what it claims "
            "to be, do not use it"
        )
    return path
