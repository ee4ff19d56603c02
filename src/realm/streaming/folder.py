"""A bundle on disk: one folder, a manifest and two tensor files, verified before it is believed.

The manifest names each tensor file with its size and SHA-256, and carries a hash of itself. Tensor
files are named after their hash, so a new bundle stands beside the old one until the manifest is
renamed into place: at every instant the folder holds one whole bundle, the old or the new.

Hashes find damage and mixed folders. They are no signature: who can write the folder can also make
a consistent bundle of other weights. What a bundle can do is bounded by the checks on its content.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from realm.files import make_folder, write_bytes
from realm.streaming.strict import dump, entries, parse, text, whole
from realm.systems import open_plain

FORMAT = "realm-bundle"
SCHEMA = 1
MANIFEST = "bundle.json"
ROLES = ("signal", "student")
OPTIONAL = "reference"  # a role that bundles of earlier versions do not have
LARGEST_MANIFEST = 4 << 20  # bytes
LARGEST_TENSORS = 768 << 20
AGAIN = "copy the whole folder again, or make the bundle again"
# What an interrupted save may leave behind; never opened, removed by the next save.
LEFTOVER = re.compile(
    r"(signal|student|reference)-[0-9a-f]{16}\.safetensors"
    r"|\.((signal|student|reference)-[0-9a-f]{16}\.safetensors|bundle\.json)\.[0-9a-f]{8}\.part"
)

Arrays = dict[str, NDArray[np.float64]]


class Content(NamedTuple):
    """What a bundle's folder holds, verified against its hashes, not yet against its meaning."""

    facts: dict[str, Any]  # the manifest without format, schema, hash and files
    signal: Arrays
    student: Arrays
    reference: Arrays | None = None


def render(content: Content) -> dict[str, bytes]:
    """The files of a bundle by name, the manifest last; the same content gives the same bytes.

    Raises:
        ValueError: a file would be larger than what is read again.
    """
    files: dict[str, bytes] = {}
    listed: dict[str, Any] = {}
    roles = [("signal", content.signal), ("student", content.student)]
    roles += [] if content.reference is None else [(OPTIONAL, content.reference)]
    for role, arrays in roles:
        data = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
        digest = hashlib.sha256(data).hexdigest()
        files[f"{role}-{digest[:16]}.safetensors"] = data
        listed[role] = {
            "name": f"{role}-{digest[:16]}.safetensors",
            "bytes": len(data),
            "sha256": digest,
        }
    head = {"format": FORMAT, "schema": SCHEMA}
    body = {**content.facts, "files": listed}
    files[MANIFEST] = dump(head | {"sha256": _own_hash(head | body)} | body)
    for name, data in files.items():
        largest = LARGEST_MANIFEST if name == MANIFEST else LARGEST_TENSORS
        if len(data) > largest:
            raise ValueError(
                f"{name}: expected at most {largest} bytes, this bundle needs {len(data)}; bundle "
                "a smaller student or a shorter provenance"
            )
    return files


def write_folder(folder: Path | str, files: dict[str, bytes]) -> None:
    """Write what `render` gave; a bundle that was there is replaced in one instant.

    Raises:
        ValueError: the folder holds something that is not a bundle.
        OSError: it cannot be written, or the disk is full; a bundle that was there is kept.
    """
    folder = make_folder(folder)
    foreign = sorted(name for name in os.listdir(folder) if not _ours(name))
    if foreign:
        raise ValueError(
            f"{folder}: expected an empty folder or a bundle, found {', '.join(foreign[:6])}; "
            "choose another output folder"
        )
    for name, data in files.items():
        write_bytes(folder / name, data)
    for name in os.listdir(folder):
        if name not in files and LEFTOVER.fullmatch(name):
            (folder / name).unlink(missing_ok=True)


def read_folder(folder: Path | str) -> Content:
    """Read a bundle, each file once, and verify names, sizes and hashes.

    Raises:
        ValueError: nothing there, or it is damaged, incomplete, too large, of another schema, or
            holds what does not belong to a bundle; the message names the file.
    """
    folder = Path(folder)
    _check_entries(folder)
    path = folder / MANIFEST
    facts = parse(_read(path, LARGEST_MANIFEST), str(path))
    _check_head(facts, str(path))
    files = facts.pop("files")
    roles = (*ROLES, *([OPTIONAL] if isinstance(files, dict) and OPTIONAL in files else []))
    listed = entries(files, f"{path}, files", *roles)
    tensors = {role: _tensors(folder, role, listed[role]) for role in roles}
    return Content(facts, **tensors)


def _check_entries(folder: Path) -> None:
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f"{folder}: expected the folder of a bundle with its {MANIFEST}, found none; check the "
            "path, or make the bundle with realm bundle"
        )
    with os.scandir(folder) as found:
        for entry in found:
            if not _ours(entry.name) or not entry.is_file(follow_symlinks=False):
                raise ValueError(
                    f"{folder / entry.name}: expected only plain files of a bundle in its folder, "
                    f"found this; remove it if you put it there, else {AGAIN}"
                )


def _check_head(facts: dict[str, Any], where: str) -> None:
    """Take format, schema and the manifest's own hash out of `facts` and check them."""
    if facts.get("format") != FORMAT or type(facts.get("schema")) is not int:
        raise ValueError(f"{where}: expected a manifest of format {FORMAT!r}; {AGAIN}")
    if facts["schema"] != SCHEMA:
        raise ValueError(
            f"{where}: expected schema {SCHEMA}, got {facts['schema']}; make the bundle again with "
            "this version, or install the version that made it"
        )
    told = facts.pop("sha256", None)
    if told != _own_hash(facts):
        raise ValueError(
            f"{where}: expected a manifest that agrees with its SHA-256, this one does not; it was "
            f"edited or damaged, {AGAIN}"
        )
    if "files" not in facts:
        raise ValueError(f"{where}: expected the list of files, found none; {AGAIN}")
    del facts["format"], facts["schema"]


def _tensors(folder: Path, role: str, listed: object) -> Arrays:
    where = f"{folder / MANIFEST}, files.{role}"
    facts = entries(listed, where, "name", "bytes", "sha256")
    digest, name = text(facts["sha256"], where), text(facts["name"], where)
    size = whole(facts["bytes"], where, 0, LARGEST_TENSORS)
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or name != f"{role}-{digest[:16]}.safetensors":
        raise ValueError(
            f"{where}: expected a file of this folder named {role}-<hash>.safetensors, got "
            f"{name!r}; {AGAIN}"
        )
    path = folder / name
    data = _read(path, size, exactly=True)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(
            f"{path}: expected SHA-256 {digest[:12]}…, the file has another; it is damaged, {AGAIN}"
        )
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a whole safetensors file, but it cannot be read ({error}); {AGAIN}"
        ) from error
    for key, array in arrays.items():
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(
                f"{path}: expected finite float64 numbers, {key!r} holds {array.dtype} or numbers "
                f"that are not finite; the training diverged or the file is damaged, {AGAIN}"
            )
    return arrays


def _read(path: Path, largest: int, exactly: bool = False) -> bytes:
    """The bytes of a plain file of this folder; links and special files are not opened."""
    try:
        handle = open_plain(path)
    except OSError as error:
        raise ValueError(
            f"{path}: expected this file, but it cannot be opened ({error.strerror}); {AGAIN}"
        ) from error
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        size = found.st_size
        if not stat.S_ISREG(found.st_mode) or size > largest or (exactly and size != largest):
            wanted = f"exactly {largest}" if exactly else f"at most {largest}"
            raise ValueError(
                f"{path}: expected a plain file of {wanted} bytes, found {size}; {AGAIN}"
            )
        data = stream.read(largest + 1)
    if len(data) != size:
        raise ValueError(f"{path}: expected {size} bytes, read {len(data)}; {AGAIN}")
    return data


def _ours(name: str) -> bool:
    return name == MANIFEST or LEFTOVER.fullmatch(name) is not None


def _own_hash(facts: dict[str, Any]) -> str:
    return hashlib.sha256(dump(facts)).hexdigest()
