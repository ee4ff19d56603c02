"""`realm report` and `realm compare`: one page of a run, or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realm.commands.options import JsonOption, use_threads
from realm.commands.terminal import Bars, answer, answering, working


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or of a benchmark.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="HTML file to write.", show_default="RUN/report.html"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run: one HTML file that needs no internet.

    It also measures what the run itself did not: the delay, which channels and bands matter, what
    the teacher reconstructs, the health of the channels. A part without data says how to get it.

    Examples:
      realm report runs/my_task
      realm report runs/benchmark --out for_the_meeting.html
    """
    with answering(as_json):
        use_threads(1)
        from realm.report.write import write_report

        with Bars() as bars, working(f"report of {run}"):
            page = write_report(run, out, bars.progress.say)
    size = page.stat().st_size
    answer(as_json, {"report": page, "bytes": size}, [f"report: {page} ({size / 1e6:.1f} MB)"])


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of two or more finished runs."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="HTML file to write.")] = Path(
        "comparison.html"
    ),
    method: Annotated[
        str, typer.Option(metavar="NAME", help="The method whose R² is compared.")
    ] = "student",
    as_json: JsonOption = False,
) -> None:
    """Compare runs: their R² and their settings.

    Every run is compared with the first one; R² is paired by session and seed.

    Examples:
      realm compare runs/before runs/after
      realm compare runs/a runs/b --method gru --out gru.html
    """
    with answering(as_json), working("comparing runs"):
        from realm.report.compare import compare as compare_runs
        from realm.report.compare import settings_table, summary_table, write_comparison

        comparison = compare_runs(runs, method)
        page = write_comparison(comparison, out)
    settings = settings_table(comparison)
    values = {
        "page": page,
        "method": method,
        "sessions": comparison.sessions,
        "left_out": comparison.only_in_some,
        "runs": {
            name: {"folder": run.path, "r2": comparison.mean(name)}
            | {"against_the_first": comparison.difference(name)._asdict()}
            for name, run in comparison.runs.items()
        },
        "settings": {
            key: dict(zip(comparison.runs, cells, strict=True)) for key, *cells in settings.rows
        },
    }
    tables = [summary_table(comparison), *([settings] if settings.rows else [])]
    answer(as_json, values, [f"page: {page}"], [table.rich() for table in tables])
