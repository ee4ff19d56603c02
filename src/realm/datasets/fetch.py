"""Fetch the files of a dataset, each whole or absent, each checked.

Checksums come from the registry of the dataset or from its archive. Where neither states one, the
first download is taken as it comes, said to be so, and its SHA-256 is kept in `checksums.json`
beside the data, so that later downloads are held to it.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from realm.datasets.dataset import Dataset, RemoteFile, matching
from realm.datasets.download import (
    Report,
    ResumingDownload,
    Say,
    check_room,
    fetch_text,
    mirrored,
)
from realm.files import atomic_path, make_folder, read_json, sha256_file, write_json

CHECKSUMS = "checksums.json"

# The name of a file to where its progress is reported.
Progress = Callable[[str], Report]


class Fetched(NamedTuple):
    """A file that is there now.

    Attributes:
        path, size: of the file.
        checksum: that it has.
        verified: whether someone else stated that checksum, or an earlier download had it.
    """

    path: Path
    size: int
    checksum: str
    verified: bool


def remote_files(
    dataset: Dataset, only: Sequence[str] = (), mirror: str | None = None
) -> list[RemoteFile]:
    """The files to fetch for the sessions `only`, or for all of them; this may ask the archive.

    Raises:
        ValueError: the dataset cannot be fetched, or has no session of that name.
    """
    if dataset.remote is None:
        raise ValueError(
            f"{dataset.name}: expected a dataset that may be downloaded by a program, but this one "
            f"is fetched by hand: {dataset.by_hand} Terms: {dataset.terms}"
        )

    def ask(url: str) -> Any:
        answer = fetch_text(mirrored(url, mirror))
        try:
            return json.loads(answer)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{url}: expected JSON from the archive, but {error}; fetch the files by hand"
            ) from error

    files = dataset.remote(ask)
    names = list(dict.fromkeys(name for file in files for name in file.sessions))
    if only and not names:
        raise ValueError(
            f"{dataset.name}: expected no --only, since this dataset comes as one archive, got "
            f"{', '.join(only)}; leave it out, `realm dataset prepare` takes it"
        )
    wanted = set(matching(names, only, dataset.name))
    return [file for file in files if not file.sessions or wanted & set(file.sessions)]


def fetch(
    files: Sequence[RemoteFile],
    out: Path | str,
    progress: Progress,
    say: Say,
    mirror: str | None = None,
) -> list[Fetched]:
    """Download what is missing or damaged in `out`, and unpack archives beside themselves.

    Raises:
        ValueError: a server refuses, the connection ends or a checksum is wrong; what has arrived
            is kept, except where the checksum is wrong.
        OSError: the folder cannot be written or the disk is full.
    """
    out = make_folder(out)
    fetched = []
    for file in files:
        found = _fetch_one(file, out, progress(file.name), say, mirror)
        fetched.append(found)
        if found.path.suffix.lower() == ".zip":
            unpack(found.path, say)
    return fetched


def _fetch_one(
    file: RemoteFile, out: Path, report: Report, say: Say, mirror: str | None
) -> Fetched:
    path = _inside(out, file.name)
    recorded = _recorded(out)
    stated = file.checksum or recorded.get(file.name)
    known = path.is_file()
    if stated is None:
        say(
            f"{file.name}: nobody states a checksum; this download is taken as it comes and its "
            f"SHA-256 kept in {CHECKSUMS}"
        )
    pooch = _pooch()
    make_folder(path.parent)
    part = path.with_name(path.name + ".part")
    downloader = ResumingDownload(part, report, say, checked=stated is not None)

    def download(url: str, output: str, pooch: Any) -> None:
        if known:
            say(f"{file.name}: there already, but its checksum is wrong; fetching it again")
        downloader(url, output, pooch)

    with _explained(file, stated):
        pooch.retrieve(
            mirrored(file.url, mirror),
            stated,
            fname=path.name,
            path=path.parent,
            downloader=download,
        )
    size = path.stat().st_size
    checksum = stated or f"sha256:{sha256_file(path)}"
    if file.checksum is None and file.name not in recorded:
        write_json(out / CHECKSUMS, recorded | {file.name: checksum})
    if known:
        report(size, size)
    return Fetched(path, size, checksum, stated is not None)


def _inside(out: Path, name: str) -> Path:
    path = (out / name).resolve()
    if not path.is_relative_to(out.resolve()):
        raise ValueError(f"{name}: expected a name inside {out}; the archive's listing is wrong")
    return path


def _recorded(out: Path) -> dict[str, str]:
    path = out / CHECKSUMS
    return {str(k): str(v) for k, v in read_json(path).items()} if path.is_file() else {}


def _pooch() -> ModuleType:
    """pooch, told to keep quiet: what it says of its work is said here in other words."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ValueError(
            "expected pooch to be installed, which downloads files; run pip install "
            "'realm-lfp[formats]'"
        ) from error
    logger: logging.Logger = pooch.get_logger()
    logger.setLevel(logging.WARNING)
    found: ModuleType = pooch
    return found


@contextmanager
def _explained(file: RemoteFile, stated: str | None) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        got = re.search(r"known hash: expected \S+ but got (\w+)", str(error))
        if got is None:
            raise
        source = (
            f"{CHECKSUMS} has it from the first download: remove its line there to take the new one"
            if file.checksum is None
            else "see the dataset's page"
        )
        raise ValueError(
            f"{file.name}: expected the checksum {stated}, got {got[1]}; the download was thrown "
            f"away, run the command again. If it stays so, the file was changed where it lies; "
            f"{source}"
        ) from error
    except OSError as error:
        if error.errno == 28:
            raise OSError(
                28,
                f"{error.strerror}. Disk full while fetching {file.name}; what has arrived is "
                "kept, free some space and run the command again",
            ) from error
        raise


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
