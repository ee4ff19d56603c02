"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from realm.recipe import Recipe

MOST_JOBS = 8  # unless more are asked for: each holds its data in memory

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe file (TOML), or the name of a recipe of this package."
    ),
]
DataOption = Annotated[
    Path,
    typer.Option("--data", metavar="FOLDER", help="Folder with the recordings, in any format."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder for all results of the run.",
        show_default="runs/<recipe>-<time>",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting of the recipe. Can be repeated.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Number of processes that work at the same time, one for each session or seed.",
        show_default="one for each core, at most 8",
    ),
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="Threads of each process.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the answer as one JSON object, for scripts.")
]
ModelOption = Annotated[
    Path, typer.Option("--model", metavar="FOLDER", help="Folder of a saved decoder.")
]


def default_out(recipe: Recipe) -> Path:
    """A run folder of its own for this moment."""
    return Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def side_by_side(jobs: int | None, threads: int) -> int:
    """How many processes to use; 1 where a GPU or torchrun shares out the work already."""
    if jobs is not None:
        return jobs
    import torch

    from realm.workers import cores

    if torch.cuda.is_available() or "WORLD_SIZE" in os.environ:
        return 1
    return max(1, min(MOST_JOBS, cores() // threads))


def use_threads(threads: int) -> None:
    """Let torch use this many threads; before anything else loads it."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import torch

    torch.set_num_threads(threads)
