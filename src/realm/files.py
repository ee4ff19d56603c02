"""Files that are either whole or absent: atomic writes, hashes and safe tensor files.

A half-written result is worse than none. Every file is written under a temporary name beside its
place, flushed to the disk and then renamed. So a reader sees the old file or the new one, and a
full disk never destroys an old file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from realm.systems import flush, replace


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed over `path`.

    On any error the temporary file is removed and whatever stood at `path` is left as it was.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; the message names it.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch(exist_ok=False)  # with the permissions that this user's files have
    except OSError as error:
        raise _explained(error, path) from error
    try:
        yield temporary
        flush(temporary)
        replace(temporary, path)
        flush(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path | str) -> Path:
    """Create `folder` (and its parents) and check that files can be written in it.

    Raises:
        OSError: it cannot be created or is not writable.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write in the folder {folder}: {error.strerror or error}; expected a folder "
            "this user may write to. Choose another output folder or change its permissions",
        ) from error
    return folder


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write `content` to `path` atomically, in UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as indented JSON to `path`, atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=False, allow_nan=False) + "\n")


def append_line(path: Path | str, line: str) -> None:
    """Add a line to a text file; a full disk can only cut this last line."""
    path = Path(path)
    try:
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise _explained(error, path) from error


def read_json(path: Path | str) -> Any:
    """Read one JSON file.

    Raises:
        ValueError: the file is missing or not JSON; the message names it.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path}: expected a JSON file here, found none; check the folder"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: expected JSON, but it cannot be read ({error}); "
            "the file is damaged, restore it or make it again"
        ) from error


def write_tensors(path: Path | str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as one safetensors file, atomically."""
    write_bytes(path, save({name: np.ascontiguousarray(a) for name, a in tensors.items()}))


def read_tensors(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read a safetensors file and check that every number in it is finite.

    Raises:
        ValueError: the file is missing, truncated, not safetensors, or holds non-finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a safetensors file here, found none; check the folder")
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a whole safetensors file, but it cannot be read ({error}); "
            "it is damaged or incomplete, restore it or train again"
        ) from error
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"{path}: expected finite numbers, but {name!r} holds NaN or infinity; "
                "the file is damaged or its training diverged, restore it or train again"
            )
    return tensors


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(content: Any) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _explained(error: OSError, path: Path) -> OSError:
    return OSError(
        error.errno,
        f"could not write {path}: {error.strerror or error}; the file that was there is kept. "
        "Free space or choose another output folder, then run the command again",
    )
