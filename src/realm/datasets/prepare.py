"""From the files of a dataset to NWB sessions and a recipe, ready for the main job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from realm import __version__
from realm.datasets.dataset import Dataset, RawSession, RecipeSettings, matching
from realm.datasets.download import Say
from realm.files import make_folder, sha256_file, write_text
from realm.inspection.suggestion import Suggestion, check_recipe, recipe_text
from realm.recordings.write import write_nwb

FORMAT = 1  # of the sessions; a higher one makes them anew

Progress = Callable[[str], Callable[[int, int], None]]


class Prepared(NamedTuple):
    """What lies in the folder now.

    Attributes:
        sessions: the NWB files.
        recipe: the recipe to run on them.
        kept: how many were there already, of the same files.
    """

    sessions: list[Path]
    recipe: Path
    kept: int


def prepare(
    dataset: Dataset,
    data: Path | str,
    out: Path | str,
    progress: Progress,
    say: Say,
    only: Sequence[str] = (),
) -> Prepared:
    """Write the sessions found in `data` into `out`, and a recipe beside them.

    A session that was prepared from the same files stays as it is.

    Raises:
        ValueError: no files of the dataset, or one that is not as it should be.
        OSError: the folder cannot be written or the disk is full.
    """
    data, out = Path(data), Path(out)
    if out.resolve().is_relative_to(data.resolve()):
        raise ValueError(
            f"{out}: expected a folder outside of {data}, since what lies in there is taken for "
            "files of the dataset; choose another --out"
        )
    make_folder(out)
    raw = {session.session_id: session for session in dataset.find(data)}
    if not raw:
        fetch = dataset.by_hand or f"Run `realm dataset fetch {dataset.name} --out {data}`."
        raise ValueError(
            f"{data}: expected files of the dataset {dataset.name} in this folder or below, found "
            f"none. {fetch}"
        )
    names = matching(sorted(raw), only, dataset.name)
    _say_unused(data, raw.values(), say)
    paths, kept = [], 0
    for name in names:
        path = out / f"{name}.nwb"
        provenance = _provenance(dataset, raw[name])
        if _same(_made_from(path), provenance):
            kept += 1
            say(f"{name}: there already, from the same files")
        else:
            description = _write(path, raw[name], provenance, progress(name), dataset)
            say(f"{name}: {description}")
        paths.append(path)
    for caveat in dataset.caveats:
        say(f"note: {caveat}")
    recipe = out / f"{dataset.name}.toml"
    if recipe.exists():
        say(f"{recipe}: there already, kept")
    else:
        write_text(recipe, dataset_recipe(dataset.name, dataset.recipe, dataset.caveats))
    return Prepared(paths, recipe, kept)


def _write(
    path: Path,
    session: RawSession,
    provenance: dict[str, Any],
    wrote: Callable[[int, int], None],
    dataset: Dataset,
) -> str:
    """Write one session; what its content says of itself."""
    with session.open() as content:
        notes = json.dumps({"source": provenance, "caveats": dataset.caveats}, ensure_ascii=False)
        write_nwb(path, replace(content, notes=notes, citation=dataset.citation), wrote)
        return content.description


def _say_unused(data: Path, sessions: Iterable[RawSession], say: Say) -> None:
    """Files that belong to no session: spikes, labels, sessions of which a part is missing."""
    used = {file.resolve() for session in sessions for file in session.files}
    other = sorted(
        path.relative_to(data)
        for path in data.rglob("*")
        if path.is_file() and path.resolve() not in used and not path.name.startswith(".")
    )
    if other:
        shown = ", ".join(map(str, other[:5])) + (" ..." if len(other) > 5 else "")
        say(f"{len(other)} files in {data} belong to no session and are not used: {shown}")


def _provenance(dataset: Dataset, session: RawSession) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "homepage": dataset.homepage,
        "licence": dataset.licence,
        "session": session.session_id,
        "format": FORMAT,
        "realm": __version__,
        "sha256": {file.name: sha256_file(file) for file in session.files},
    }


def _same(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether a session was made of the same files in the same way, by whatever version."""
    return found is not None and found | {"realm": ""} == wanted | {"realm": ""}


def _made_from(path: Path) -> dict[str, Any] | None:
    """The provenance of a session that is there; None if there is none of ours."""
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = json.loads(file["general/notes"][()])["source"]
            return found
    except (OSError, KeyError, ValueError, TypeError):
        return None


def dataset_recipe(name: str, settings: RecipeSettings, remarks: tuple[str, ...]) -> str:
    """The recipe as TOML, checked on the way; `remarks` stand at its top."""
    suggestion = Suggestion(
        settings.behavior,
        settings.target,
        settings.smoothing_s,
        settings.bin_ms,
        settings.window_s,
        settings.slow_hz,
        dict(settings.bands_hz),
        None,
    )
    _, _, text = recipe_text(suggestion, name, None).partition("\n")
    for line in settings.signal:
        text = text.replace("[signal]\n", f"[signal]\n{line}\n", 1)
    head = [f"# Made by `realm dataset prepare {name}`. Choose settings on validation time only."]
    text = "\n".join([*head, *(f"# {remark}" for remark in remarks), text])
    check_recipe(text, name)
    return text
