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

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or the name of one.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of recordings, of any format.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Run folder.", show_default="runs/<recipe>-<time>"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: key=value. Repeatable.")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes to use side by side.")]
SideBySideOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        show_default="one for each core",
        help="Processes side by side: seeds, and sessions that are prepared.",
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads per process.")]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Prepare with Ray.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout, for machines.")
]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a saved decoder.")]


def default_out(recipe: Recipe) -> Path:
    """A run folder of its own for this moment."""
    return Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def side_by_side(jobs: int | None, threads: int) -> int:
    """How many processes to use; by itself 1 where a GPU or torchrun shares out the work."""
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
