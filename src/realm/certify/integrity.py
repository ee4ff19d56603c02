"""The bundle is what it says it is, and damage to its files does not go unnoticed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from realm.certify.check import Finding, at_most
from realm.certify.trial import Trial
from realm.streaming import Bundle

Files = dict[str, bytes]
DAMAGE = ("a bit flipped", "bytes changed", "bytes removed", "bytes added", "cut short", "missing")


def check_integrity(trial: Trial) -> list[Finding]:
    """Load the bundle again, then copies of it that were damaged at random."""
    return examine(trial, Bundle.load)


def examine(trial: Trial, load: Callable[[Path], object]) -> list[Finding]:
    """The same with any loader."""
    files = {path.name: path.read_bytes() for path in sorted(trial.folder.iterdir())}
    differs = Bundle.load(trial.folder).sha256 != trial.decoder.bundle.sha256
    rng, silent = trial.rng("integrity"), 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "bundle"
        for _ in trial.counted(trial.effort.mutations):
            _write(copy, damaged(files, rng))
            try:
                load(copy)
                silent += 1
            except ValueError:
                pass
    n = trial.effort.mutations
    return [
        at_most(
            "files that differ from the examined decoder",
            int(differs),
            "bundles",
            0,
            "hashes, sizes, shapes and finite numbers of all files, verified",
        ),
        at_most(
            "damaged copies that loaded",
            silent,
            "copies",
            0,
            f"{n} copies, each damaged at random: {', '.join(DAMAGE)}",
        ),
    ]


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
