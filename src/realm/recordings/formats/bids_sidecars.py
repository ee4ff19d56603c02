"""Which files of a BIDS data set apply to a data file: the inheritance principle.

A table or JSON file applies where it has the same suffix and no entity that the data file lacks. It
lies beside the data file or in a folder above, up to the root of the data set; the nearest wins.
Source: https://bids-specification.readthedocs.io, common principles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Name(NamedTuple):
    """The parts of a file's name: sub-01_task-reach_ieeg.edf."""

    entities: frozenset[str]
    suffix: str
    extension: str


def name_of(path: Path) -> Name:
    """The parts of the name of `path`; the extension begins with the first point."""
    stem, point, extension = path.name.partition(".")
    *entities, suffix = stem.split("_")
    return Name(frozenset(entities), suffix, (point + extension).lower())


def root_of(path: Path) -> Path:
    """The root of the data set: it has a description, or holds the folder of the subject."""
    for folder in path.parents:
        if (folder / "dataset_description.json").is_file():
            return folder
    named = [f for f in path.parents if f.name.startswith("sub-")]
    return named[-1].parent if named else path.parent


def applying(path: Path, suffix: str, extension: str, *, more: str = "") -> list[Path]:
    """The files that apply to `path`, the nearest and most specific first.

    Args:
        path: of the data file.
        suffix, extension: of the files that are looked for: "channels", ".tsv".
        more: an entity that they may have although the data file has not: "space".
    """
    own, root = name_of(path).entities, root_of(path)
    found: list[Path] = []
    for folder in path.parents:
        here = [
            (len(extra.entities), file)
            for file in sorted(_files(folder, suffix + extension))
            if (extra := name_of(file)).suffix == suffix
            and extra.extension == extension
            and all(e in own or (more and e.startswith(f"{more}-")) for e in extra.entities)
        ]
        found += [file for _, file in sorted(here, key=lambda item: -item[0])]
        if folder == root:
            break
    return found


def continuous(path: Path, suffix: str) -> list[Path]:
    """Compressed tables beside `path` that belong to its run: they have all its entities."""
    own = name_of(path).entities
    return [
        file
        for file in sorted(_files(path.parent, f"_{suffix}.tsv.gz"))
        if name_of(file).suffix == suffix and own <= name_of(file).entities
    ]


def merged_json(path: Path, suffix: str) -> tuple[dict[str, Any], list[Path]]:
    """What the JSON files that apply to `path` say together, the nearest last, and these files.

    Raises:
        ValueError: one is not a JSON object.
    """
    files = applying(path, suffix, ".json")
    content: dict[str, Any] = {}
    for file in reversed(files):
        try:
            said = json.loads(file.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: expected JSON, but {error}; correct the file") from error
        if not isinstance(said, dict):
            raise ValueError(f"{file}: expected a JSON object, got {said!r}; correct the file")
        content |= said
    return content, files


def _files(folder: Path, ending: str) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.name.endswith(ending) and not file.name.startswith(".") and file.is_file():
            yield file
