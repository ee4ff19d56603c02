"""`realm benchmark`, `realm tune` and `realm paper-protocol`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from realm.commands.terminal import Bars, answer, answering

if TYPE_CHECKING:
    from rich.table import Table

    from realm.benchmark.report import Outcome


def benchmark(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PART",
            help="Do only this part: main, lookahead, labels, transfer, heldout, spikes or cost. "
            "Can be repeated.",
            show_default="all",
        ),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare all methods, also with few labels, on new days and on spikes.

    Run the same command again to resume.

    Examples:
      realm benchmark my_task.toml --data recordings --out runs/b --jobs 2
      realm benchmark my_task.toml --data recordings --only lookahead
    """
    with answering(as_json):
        use_threads(threads)
        from realm.benchmark.command import benchmark as measure
        from realm.files import read_json
        from realm.recipe import load_recipe

        resolved = load_recipe(recipe, overrides or [])
        folder = out or default_out(resolved)
        with Bars() as bars:
            outcome = measure(
                resolved,
                data,
                folder,
                only=only or [],
                jobs=side_by_side(jobs, threads),
                progress=bars.progress,
            )
    values = {"run_folder": folder} | read_json(folder / "benchmark.json")
    report = f"report: {folder / 'benchmark.md'}"
    answer(as_json, values, [*measured_claims(outcome), report], new_sessions(outcome))


def measured_claims(outcome: Outcome) -> list[str]:
    """A line for each claim that could be judged, and how many could not."""
    judged = [claim.line() for claim in outcome.claims if claim.met is not None]
    left = len(outcome.claims) - len(judged)
    return [*judged, f"{left} claims were not measured; the report says why"] if left else judged


def new_sessions(outcome: Outcome) -> list[Table]:
    """R² on new sessions by seconds of labels, where that part was done."""
    from realm.benchmark.parts.heldout import accuracy_tables

    return [table.rich() for table in accuracy_tables(outcome.rows)]


def tune(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="Folder for the trials and their table."),
    ],
    methods: Annotated[
        list[str],
        typer.Option(
            "--method", metavar="NAME", help="Method to tune, such as gru. Can be repeated."
        ),
    ],
    trials: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Trials of each method; the first uses the settings of the recipe.",
        ),
    ] = 6,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of the drawn settings and of training.")
    ] = 0,
    overrides: SetOption = None,
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Try settings of methods, with the same number of trials for each.

    Only validation time is scored. Run the same command again to resume.

    Examples:
      realm tune my_task.toml --data recordings --out runs/tuning --method gru
    """
    use_threads(threads)
    from realm.benchmark.trials import best_settings, summary_table
    from realm.benchmark.tuning import tune
    from realm.recipe import load_recipe

    with Bars() as bars:
        results = tune(
            load_recipe(recipe, overrides or []),
            data,
            out,
            methods,
            trials=trials,
            seed=seed,
            jobs=side_by_side(jobs, threads),
            progress=bars.progress,
        )
    said = [best_settings(results), f"trials: {out / 'tuning.md'}"]
    answer(False, {}, said, (summary_table(results).rich(),))


def paper_protocol(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the results; a new one.")
    ],
    leak_free: Annotated[
        Path | None,
        typer.Option(
            "--leak-free",
            metavar="FOLDER",
            help="Finished run of the recipe to compare with.",
            show_default="trained first",
        ),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Score with the protocol of published numbers, and show the difference.

    That protocol leaks: segments are shuffled, and filters see the future. Use these numbers only
    to compare with published ones.

    Examples:
      realm paper-protocol my_task.toml --data recordings --out runs/published
    """
    use_threads(threads)
    from realm.benchmark.paper_protocol import paper_protocol as compare
    from realm.benchmark.paper_protocol import protocol_table
    from realm.recipe import load_recipe

    with Bars() as bars:
        rows = compare(
            load_recipe(recipe, overrides or []),
            data,
            out,
            leak_free=leak_free,
            jobs=side_by_side(jobs, threads),
            progress=bars.progress,
        )
    answer(False, {}, [f"rows: {out / 'paper_protocol.csv'}"], (protocol_table(rows).rich(),))
