"""`realm run`, `realm simulate` and `realm demo`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realm.commands.options import (
    DataOption,
    JobsOption,
    JsonOption,
    OutOption,
    RecipeArgument,
    SetOption,
    ThreadsOption,
    default_out,
    side_by_side,
    use_threads,
)
from realm.commands.terminal import Bars, answer, answering, console, working

if TYPE_CHECKING:
    from realm.evaluation.results import ResultRow


class Until(StrEnum):
    """The stages of a run, in their order."""

    prepare = "prepare"
    pretrain = "pretrain"
    distill = "distill"
    evaluate = "evaluate"


def run(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    until: Annotated[
        Until,
        typer.Option(
            "--until",
            metavar="STAGE",
            help="Last stage to do: prepare (recordings to features), pretrain (the teacher), "
            "distill (the student) or evaluate (scores and report).",
        ),
    ] = Until.evaluate,
    overrides: SetOption = None,
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Prepare the recordings on a Ray cluster.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a causal decoder, compare it with baselines, write a report.

    A run can be stopped with Ctrl-C. Run the same command again to resume.

    Examples:
      realm run my_task.toml --data recordings --out runs/my_task
      realm run my_task.toml --data recordings --until prepare --jobs 2
      realm run reach_sim --data recordings --set "seeds=[0]" --json
    """
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
                until=until.value,
                jobs=side_by_side(jobs, threads),
                cluster=cluster,
                progress=bars.progress,
            )
    _results(as_json, rows, folder)


def _former(stage: Until) -> Callable[..., None]:
    """The command that was `realm <stage>`, as `realm run --until <stage>`."""

    @wraps(run)
    def command(**given: Any) -> None:
        console.print(
            f"realm {stage} is now `realm run --until {stage}`; the old name goes after release "
            "0.2",
            highlight=False,
            soft_wrap=True,
        )
        run(**given | {"until": stage})

    command.__name__ = stage.value
    command.__doc__ = f"The old name of `realm run --until {stage}`; it goes after release 0.2."
    return command


FORMER = tuple(_former(stage) for stage in Until)


def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the NWB files.")],
    subjects: Annotated[int, typer.Option(metavar="N", min=1, help="Number of subjects.")] = 2,
    days: Annotated[int, typer.Option(metavar="N", min=1, help="Recordings of each subject.")] = 2,
    duration_s: Annotated[
        float, typer.Option(metavar="S", min=10, help="Length of a recording in seconds.")
    ] = 120.0,
    channels: Annotated[
        int, typer.Option(metavar="N", min=1, help="LFP channels of a recording.")
    ] = 16,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random numbers.")] = 0,
) -> None:
    """Simulate recordings of a reaching hand, as NWB files.

    Examples:
      realm simulate --out recordings --subjects 1 --days 2 --duration-s 60
    """
    with working(f"simulating {subjects * days} sessions"):
        from realm.simulation.write import write_simulated

        paths = write_simulated(out, subjects, days, duration_s, channels, seed)
    for path in paths:
        typer.echo(path)


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for all results.")
    ] = Path("runs/demo"),
    jobs: JobsOption = None,
) -> None:
    """Simulate recordings and do a whole run on them, then a new day, in a few minutes.

    On the new day, a decoder that learned without labels gets the first 30 s of them.

    Examples:
      realm demo --out runs/demo
    """
    recordings, new_day = out / "recordings", out / "new_day"
    with working("simulating 9 sessions"):
        from realm.simulation.write import write_simulated

        write_simulated(recordings, subjects=2, days=2, duration_s=120.0, channels=16, seed=0)
        days = new_day / "recordings"
        write_simulated(days, subjects=1, days=5, duration_s=120.0, channels=16, seed=1)
    run("demo", recordings, out, jobs=jobs)
    from realm.commands.measure import benchmark

    benchmark("demo_new_day", days, new_day, only=["heldout"], jobs=jobs)


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
