"""A run folder belongs to one recipe: another one is refused before any work.

`recipe.json` holds the recipe of the trainings in the folder from their beginning, so that a run
that was stopped is known as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realm.files import read_json, write_json
from realm.recipe import Recipe
from realm.stages import STUDENT_PARTS

NOTE = "recipe.json"
SHOWN = 4  # keys in a message


def check_folder(recipe: Recipe, out: Path) -> None:
    """Refuse a folder whose networks were trained with other settings.

    Settings that training does not depend on may change: seeds, baselines, evaluation.

    Raises:
        ValueError: the settings that differ are named.
    """
    begun = _recipe_in(out)
    if begun is None or not any(out.glob("seed*/*/checkpoint.safetensors")):
        return
    before, now = _leaves(begun), _leaves(recipe.resolved())
    differ = [
        f"{key} is {now[key]!r} and was {before[key]!r}"
        for key in now
        if key.split(".")[0] in _parts_in(out) and key in before and before[key] != now[key]
    ]
    if differ:
        more = f" and {len(differ) - SHOWN} more settings differ" if len(differ) > SHOWN else ""
        raise ValueError(
            f"{out}: expected the recipe that this folder was begun with, but "
            f"{', '.join(differ[:SHOWN])}{more}; choose another folder with --out, or set these "
            "back to go on with this one"
        )


def note_recipe(recipe: Recipe, out: Path) -> None:
    """Write down what the trainings of a folder follow, where it is not there yet."""
    content = recipe.resolved()
    if _recipe_in(out) != content:
        write_json(out / NOTE, content)


def _recipe_in(out: Path) -> dict[str, Any] | None:
    """The recipe of the trainings in a folder; that of the record where a run has ended."""
    for name, inner in ((NOTE, None), ("run.json", "recipe")):
        path = out / name
        if path.is_file():
            content = read_json(path)
            found = content.get(inner) if inner and isinstance(content, dict) else content
            return found if isinstance(found, dict) else None
    return None


def _parts_in(out: Path) -> tuple[str, ...]:
    """The parts of the recipe that what was trained depends on."""
    students = any(out.glob("seed*/student/checkpoint.safetensors"))
    return STUDENT_PARTS if students else STUDENT_PARTS[:-1]


def _leaves(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found
