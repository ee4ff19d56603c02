"""The main job: recordings to a run folder, as a whole or up to a stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realm.commands.options import (
    ClusterOption,
    DataOption,
    JsonOption,
    OutOption,
    RecipeArgument,
    SetOption,
    SideBySideOption,
    ThreadsOption,
    default_out,
    side_by_side,
    use_threads,
)
from realm.commands.terminal import Bars, answer, answering, working

if TYPE_CHECKING:
    from realm.evaluation.results import ResultRow
    from realm.runs.run import Stage


def run(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: SideBySideOption = None,
    threads: ThreadsOption = 1,
    cluster: ClusterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Recordings in; a distilled causal decoder, baselines, results and figures out.

    Stopped, it goes on where it was when the same command is given again.

    Examples:
      realm run my_task.toml --data recordings --out runs/my_task
      realm run reach_sim --data recordings --set "seeds=[0]" --json
    """
    _stage("evaluate", recipe, data, out, overrides, jobs, threads, cluster, as_json)


def prepare(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: SideBySideOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Turn recordings into prepared session files (features, behavior, splits).

    Examples:
      realm prepare my_task.toml --data recordings --out runs/my_task --jobs 2
    """
    _stage("prepare", recipe, data, out, overrides, jobs, 1, cluster)


def pretrain(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: SideBySideOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare, then pretrain the bidirectional teacher.

    Examples:
      realm pretrain my_task.toml --data recordings --out runs/my_task
    """
    _stage("pretrain", recipe, data, out, overrides, jobs, threads)


def distill(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: SideBySideOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare and pretrain if need be, then distill the causal student.

    Examples:
      realm distill my_task.toml --data recordings --out runs/my_task
    """
    _stage("distill", recipe, data, out, overrides, jobs, threads)


def evaluate(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: SideBySideOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Score the student and the baselines of a run; earlier stages are done if need be.

    Examples:
      realm evaluate my_task.toml --data recordings --out runs/my_task
      realm evaluate my_task.toml --data recordings --out runs/my_task --json
    """
    _stage("evaluate", recipe, data, out, overrides, jobs, threads, as_json=as_json)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the NWB files.")],
    subjects: Annotated[int, typer.Option(min=1)] = 2,
    days: Annotated[int, typer.Option(min=1)] = 2,
    duration_s: Annotated[float, typer.Option(min=10)] = 120.0,
    channels: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write simulated reaching sessions as NWB files.

    Examples:
      realm simulate --out recordings --subjects 1 --days 2 --duration-s 60
    """
    with working(f"simulating {subjects * days} sessions"):
        from realm.simulation.demo import write_simulated

        paths = write_simulated(out, subjects, days, duration_s, channels, seed)
    for path in paths:
        typer.echo(path)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/demo"),
    jobs: SideBySideOption = None,
) -> None:
    """Simulate sessions and do the whole main job on them, in a few minutes.

    Examples:
      realm demo --out runs/demo
    """
    recordings = out / "recordings"
    with working("simulating 4 sessions"):
        from realm.simulation.demo import write_simulated

        write_simulated(recordings, subjects=2, days=2, duration_s=120.0, channels=16, seed=0)
    _stage("evaluate", "demo", recordings, out, None, jobs, 1)


def _stage(
    until: Stage,
    recipe: str,
    data: Path,
    out: Path | None,
    overrides: list[str] | None,
    jobs: int | None,
    threads: int,
    cluster: bool = False,
    as_json: bool = False,
) -> None:
    with answering(as_json):
        use_threads(threads)
        from realm.recipe import load_recipe
        from realm.runs.run import run

        resolved = load_recipe(recipe, overrides or [])
        folder = out or default_out(resolved)
        with Bars() as bars:
            rows = run(
                resolved,
                data,
                folder,
                until=until,
                jobs=side_by_side(jobs, threads),
                cluster=cluster,
                progress=bars.progress,
            )
    _results(as_json, rows, folder)


def _results(as_json: bool, rows: list[ResultRow], folder: Path) -> None:
    """Tables and files of a run; without rows, where it lies."""
    from dataclasses import asdict

    from realm.report.tables import accuracy_table, cost_table

    values: dict[str, Any] = {"run_folder": folder}
    if not rows:
        answer(as_json, values, [f"run folder: {folder}"])
        return
    report = folder / "report.html"
    values |= {"report": report, "results": [asdict(row) for row in rows]}
    tables = () if as_json else (accuracy_table(rows, "test").rich(), cost_table(rows).rich())
    answer(as_json, values, [f"report: {report}", f"run folder: {folder}"], tables)
