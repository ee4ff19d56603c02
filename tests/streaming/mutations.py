"""Damage to a bundle's folder, drawn at random; as a script, thousands of it.

    python tests/streaming/mutations.py BUNDLE --count 20000 [--seed 0]

counts mutations that were refused with a `ValueError`, and those that were not, of which there
should be none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from realm.streaming import Bundle

Files = dict[str, bytes]


def read(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(folder: Path, files: Files) -> None:
    """Make the folder hold exactly these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def mutate(files: Files, rng: np.random.Generator) -> Files:
    """The same files with one thing changed."""
    name = str(rng.choice(sorted(files)))
    kind = int(rng.integers(12))
    if kind == 0:
        return {other: data for other, data in files.items() if other != name}
    if kind == 1:
        changed = f"{name[: len(name) // 2]}x{name[len(name) // 2 + 1 :]}"
        return {(changed if other == name else other): data for other, data in files.items()}
    if kind == 2:
        return {**files, f"{'.' * int(rng.integers(2))}{rng.integers(1000)}.json": b"{}"}
    if kind == 3 and name == "bundle.json":
        return {**files, name: edited(files[name], rng)}
    if kind == 4:
        others = sorted(files)
        order = [others[(i + 1) % len(others)] for i in range(len(others))]
        return {one: files[other] for one, other in zip(others, order, strict=True)}
    return {**files, name: damaged(files[name], rng)}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut, added, moved or zeroed."""
    changed, at = bytearray(data), int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    kind = int(rng.integers(7))
    if kind == 0:
        changed[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        changed[at : at + length] = rng.bytes(len(changed[at : at + length]))
    elif kind == 2:
        del changed[at : at + length]
    elif kind == 3:
        changed[at:at] = rng.bytes(length)
    elif kind == 4:
        del changed[at:]
    elif kind == 5:
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    else:
        changed += rng.bytes(length)
    return bytes(changed)


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    1e-9,
    1e300,
    10**400,
    0.5,
    "",
    "x",
    "../x",
    "/etc/passwd",
    "a\nb",
    [],
    {},
    [1],
    [[]],
    {"x": 1},
    "0" * 2000,
    65_536,
    3.0,
    ["ch0", "ch0"],
]


def edited(manifest: bytes, rng: np.random.Generator, forged: bool = False) -> bytes:
    """The manifest with one value replaced; `forged` with its hash made right again."""
    facts = json.loads(manifest)
    places = list(_places(facts))
    holder, key = places[int(rng.integers(len(places)))]
    value = ODD[int(rng.integers(len(ODD)))]
    kind = int(rng.integers(4))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder["unknown"] = value
    else:
        holder[key] = value
    if forged and "sha256" in facts:
        body = {name: part for name, part in facts.items() if name != "sha256"}
        facts["sha256"] = hashlib.sha256(_dump(body)).hexdigest()
    return _dump(facts)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, part in pairs:
        if key == "provenance":  # for people
            continue
        yield value, key
        yield from _places(part)


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def loaded_silently(folder: Path, count: int, seed: int) -> tuple[int, int, list[str]]:
    """Mutations tried, refused with a ValueError, and a line for each that was not."""
    files, rng = read(folder), np.random.default_rng(seed)
    tried, refused, wrong = 0, 0, []
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "bundle"
        while tried < count:
            changed = mutate(files, rng)
            if changed == files:
                continue
            tried += 1
            write(copy, changed)
            try:
                Bundle.load(copy)
                wrong.append(f"mutation {tried}: loaded")
            except ValueError:
                refused += 1
            except Exception as error:
                wrong.append(f"mutation {tried}: {error!r}")
    return tried, refused, wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tried, refused, wrong = loaded_silently(given.bundle, given.count, given.seed)
    print(f"{tried} mutations: {refused} refused, {len(wrong)} not")
    print("\n".join(wrong[:20]))
    raise SystemExit(bool(wrong))
