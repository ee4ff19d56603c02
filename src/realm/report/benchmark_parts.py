"""What only a benchmark measures, as its `benchmark.json` says."""

from __future__ import annotations

from typing import Any

from realm.report.run_folder import BENCHMARK, RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.tables import ResultTable

MAIN = "main"  # the part that the page shows as a run


def benchmark_sections(run: RunFolder) -> list[Section]:
    """The sections of all parts; for a plain run, how to measure them."""
    if not run.benchmark:
        return [
            left_out(
                "What a benchmark adds",
                "Left out: one run does not measure what waiting for some future signal is worth, "
                "how many labels a new session needs, how a decoder ages over days, and what "
                f"spikes would give. `realm benchmark {run.name} --data FOLDER --out "
                "runs/benchmark` measures all of it, `--only lookahead` one part; "
                "then `realm report runs/benchmark` shows it.",
            )
        ]
    if "report" not in run.benchmark:
        return [
            left_out(
                "Parts of the benchmark",
                f"Left out: `{run.path / BENCHMARK}` was written by an older version. Run the same "
                "`realm benchmark` command again: what is trained is kept, and the file is "
                "written anew.",
            )
        ]
    return [_section(run, entry) for entry in run.benchmark["report"] if entry["part"] != MAIN]


def _section(run: RunFolder, entry: dict[str, Any]) -> Section:
    pictures = [Picture(run.path / one["file"], one["caption"]) for one in entry["pictures"]]
    tables = [_table(run, one["title"], one["text_columns"]) for one in entry["tables"]]
    return Section(
        entry["title"],
        tuple(entry["text"]),
        tuple(picture for picture in pictures if picture.path.is_file()),
        tuple(tables),
        left_out=entry["left_out"],
    )


def _table(run: RunFolder, title: str, text_columns: int) -> ResultTable:
    lines: list[dict[str, str]] = run.benchmark["tables"][title]
    rows = tuple(tuple(line.values()) for line in lines)
    return ResultTable(title, tuple(lines[0]), rows, text_columns)
