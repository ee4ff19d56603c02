"""`realm inspect`: what is in a recording, and its faults."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realm.commands.options import JsonOption
from realm.commands.terminal import answer, answering, working

if TYPE_CHECKING:
    from realm.inspection.inspection import Inspection

FIT, FAULTS = 0, 1


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A recording, in any format that is supported.")
    ],
    lfp: Annotated[
        str | None,
        typer.Option(
            "--lfp",
            metavar="PATH",
            help="Path of the neural series inside the file.",
            show_default="the only one",
        ),
    ] = None,
    behavior: Annotated[
        str | None,
        typer.Option(
            "--behavior",
            metavar="PATH",
            help="Path of the behavior to decode inside the file.",
            show_default="the best one",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="FILE",
            help="Write a recipe to begin with to this file.",
            show_default="none",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a recording, its faults, and how to decode it.

    Exit codes: 0 the recording can be used, 1 it has faults, 2 it cannot be read.

    Examples:
      realm inspect monkey1.nwb
      realm inspect day1.mat --recipe my_task.toml
      realm inspect day1.ns3 --behavior cursor --json
    """
    with answering(as_json), working(f"inspecting {file}"):
        from realm.inspection.inspection import inspect_recording
        from realm.inspection.screen import screen

        found = inspect_recording(file, lfp, behavior)
    written, problem = None, None
    if recipe is not None:
        try:
            _write_recipe(found, recipe, lfp)
            written = recipe
        except (ValueError, OSError) as error:
            problem = error
    said = [] if written is None else [f"recipe: {written}"]
    answer(as_json, found.as_json() | {"recipe": written}, [*screen(found), *said])
    if problem is not None:
        raise problem
    sys.exit(FIT if found.fit else FAULTS)


def _write_recipe(found: Inspection, recipe: Path, lfp: str | None) -> None:
    from realm.files import write_text
    from realm.inspection.suggestion import check_recipe, recipe_text

    if found.suggestion is None:
        raise ValueError(
            f"{found.file}: expected behavior to suggest a recipe for, found none that can be "
            "used; name it with --behavior, or under [behavior] in a recording.toml"
        )
    text = recipe_text(found.suggestion, recipe.stem, lfp)
    check_recipe(text, str(recipe))
    write_text(recipe, text)
