"""The main job: recordings to a run folder, as a whole or up to a stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from realm.commands.options import (
    ClusterOption,
    DataOption,
    JobsOption,
    OutOption,
    RecipeArgument,
    SetOption,
    ThreadsOption,
    default_out,
    use_threads,
)
from realm.commands.terminal import Bars

if TYPE_CHECKING:
    from realm.run import Stage


def run(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
    cluster: ClusterOption = False,
) -> None:
    """Recordings in; a distilled causal decoder, baselines, results and figures out."""
    _stage("evaluate", recipe, data, out, overrides, jobs, threads, cluster)


def prepare(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = False,
) -> None:
    """Turn recordings into prepared session files (features, behavior, splits)."""
    _stage("prepare", recipe, data, out, overrides, jobs, 1, cluster)


def pretrain(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare, then pretrain the bidirectional teacher."""
    _stage("pretrain", recipe, data, out, overrides, jobs, threads)


def distill(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare and pretrain if need be, then distill the causal student."""
    _stage("distill", recipe, data, out, overrides, jobs, threads)


def evaluate(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Score the student and the baselines of a run; earlier stages are done if need be."""
    _stage("evaluate", recipe, data, out, overrides, jobs, threads)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the NWB files.")],
    subjects: Annotated[int, typer.Option(min=1)] = 2,
    days: Annotated[int, typer.Option(min=1)] = 2,
    duration_s: Annotated[float, typer.Option(min=10)] = 120.0,
    channels: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write simulated reaching sessions as NWB files."""
    from realm.demo import write_simulated

    for path in write_simulated(out, subjects, days, duration_s, channels, seed):
        typer.echo(path)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/demo"),
    jobs: JobsOption = 2,
) -> None:
    """Simulate sessions and do the whole main job on them, in a few minutes."""
    from realm.demo import write_simulated

    recordings = out / "recordings"
    write_simulated(recordings, subjects=2, days=2, duration_s=120.0, channels=16, seed=0)
    _stage("evaluate", "demo", recordings, out, None, jobs, 1)


def _stage(
    until: Stage, recipe: str, data: Path, out: Path | None, overrides: list[str] | None,
    jobs: int, threads: int, cluster: bool = False,
) -> None:  # fmt: skip
    use_threads(threads)
    from realm.recipe import load_recipe
    from realm.run import run

    resolved = load_recipe(recipe, overrides or [])
    folder = out or default_out(resolved)
    with Bars() as bars:
        rows = run(
            resolved, data, folder, until=until, jobs=jobs, cluster=cluster, progress=bars.progress
        )
    if rows:
        from realm.evaluation.tables import accuracy_table, cost_table

        tables = Console()
        tables.print(accuracy_table(rows, "test").rich())
        tables.print(cost_table(rows).rich())
        typer.echo(f"report: {folder / 'report.html'}")
    typer.echo(f"run folder: {folder}")
