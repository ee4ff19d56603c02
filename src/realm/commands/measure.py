"""Commands that measure more than one run: benchmark, tuning, the published protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    use_threads,
)
from realm.commands.terminal import Bars, answer, answering


def benchmark(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="One part: main, lookahead, labels, transfer, spikes, cost. Repeatable.",
            show_default="all",
        ),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare all methods, with few labels, on new days, with lookahead and on spikes.

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
                resolved, data, folder, only=only or [], jobs=jobs, progress=bars.progress
            )
    values = {"run_folder": folder} | read_json(folder / "benchmark.json")
    report = f"report: {folder / 'benchmark.md'}"
    answer(as_json, values, [*(claim.line() for claim in outcome.claims), report])


def tune(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the trials and their table.")],
    methods: Annotated[
        list[str], typer.Option("--method", help="Method to tune, such as gru. Repeatable.")
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="Trials per method; the first is the recipe as it is.")
    ] = 6,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the settings that are drawn, and of the trainings.")
    ] = 0,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Tune methods, each with the same number of trials. Only validation time is scored.

    Run the same command again to resume.

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
            jobs=jobs,
            progress=bars.progress,
        )
    said = [best_settings(results), f"trials: {out / 'tuning.md'}"]
    answer(False, {}, said, (summary_table(results).rich(),))


def paper_protocol(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for this protocol alone.")],
    leak_free: Annotated[
        Path | None,
        typer.Option(
            "--leak-free",
            help="A finished run of the same recipe, to compare with.",
            show_default="trained here",
        ),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Score with the protocol of published LFP numbers, and show how much it inflates R².

    Use these numbers only to compare with published ones: this protocol leaks.

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
            jobs=jobs,
            progress=bars.progress,
        )
    answer(False, {}, [f"rows: {out / 'paper_protocol.csv'}"], (protocol_table(rows).rich(),))
