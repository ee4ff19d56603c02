"""Whether damage to the files of a bundle is found when it is loaded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from realm.certify.check import Finding, Trial, at_most
from realm.streaming import Bundle
from realm.streaming.folder import MANIFEST

Files = dict[str, bytes]
DAMAGE = ("a bit flipped", "bytes changed", "bytes removed", "bytes added", "cut short", "missing")


def check_integrity(trial: Trial, load: Callable[[Path], object] = Bundle.load) -> list[Finding]:
    """Load the bundle again, then copies of it that were damaged at random, with this loader."""
    files = {path.name: path.read_bytes() for path in sorted(trial.folder.iterdir())}
    edits = edited(files[MANIFEST])
    differs = Bundle.load(trial.folder).sha256 != trial.decoder.bundle.sha256
    rng, silent, believed = trial.rng("integrity"), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "bundle"
        for _ in trial.counted(trial.effort.mutations):
            _write(copy, damaged(files, rng))
            try:
                load(copy)
                silent += 1
            except ValueError:
                pass
        for manifest in edits:
            _write(copy, {**files, MANIFEST: manifest})
            try:
                load(copy)
                believed += 1
            except ValueError:
                pass
    n = trial.effort.mutations
    return [
        at_most(
            "files that differ from the examined decoder",
            int(differs),
            "bundles",
            0,
            "verified: hashes, sizes, shapes and finite numbers of all files",
            "another bundle than the one that is decoded with",
        ),
        at_most(
            "damaged copies that loaded",
            silent,
            "copies",
            0,
            f"{n} copies, each damaged at random: {', '.join(DAMAGE)}",
            "files that are believed without their hash",
        ),
        at_most(
            "edited manifests that loaded",
            believed,
            "copies",
            0,
            f"{len(edits)} copies, in each one value of the manifest changed",
            "a manifest that is believed without its hash",
        ),
    ]


def edited(manifest: bytes, most: int = 40) -> list[bytes]:
    """The manifest with one value changed, for values of all parts of it."""
    facts = json.loads(manifest)
    places = [place for place in _places(facts) if place[0] is not facts or place[1] != "sha256"]
    found = []
    for holder, key in places[:: max(1, len(places) // most)]:
        old = holder[key]
        holder[key] = f"{old}x" if isinstance(old, str) else (old or 0) + 1
        found.append((json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())
        holder[key] = old
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every text, number or null, as its holder and its place in it."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in pairs:
        if isinstance(part, dict | list):
            yield from _places(part)
        else:
            yield value, key


def damaged(files: Files, rng: np.random.Generator) -> Files:
    """The same files with one of them damaged."""
    name = str(rng.choice(sorted(files)))
    data, kind = bytearray(files[name]), str(rng.choice(DAMAGE))
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
    if kind == "missing":
        return {other: content for other, content in files.items() if other != name}
    if kind == "a bit flipped":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "bytes changed":
        part = data[at : at + length]
        data[at : at + length] = bytes(byte ^ 0xA5 for byte in part)
    elif kind == "bytes removed":
        del data[at : at + length]
    elif kind == "bytes added":
        data[at:at] = rng.bytes(length)
    else:
        del data[at:]
    return {**files, name: bytes(data)}


def _write(folder: Path, files: Files) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
