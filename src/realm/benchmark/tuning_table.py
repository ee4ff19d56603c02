"""The result of a tuning: a table for machines, a page for people, settings for a recipe."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from realm.benchmark.search_space import Settings, override_lines
from realm.files import write_text
from realm.report.markdown import markdown
from realm.report.section import Section
from realm.report.tables import ResultTable, number


class TrialResult(NamedTuple):
    """One trial: its settings by key of the recipe, mean R² of the sessions on validation time.

    The R² is NaN where it is undefined. `cpu_s` is the CPU time of the training; for a student
    without that of its teacher, which all trials share.
    """

    method: str
    trial: int
    settings: Settings
    validation_r2: float
    cpu_s: float


def best(results: Sequence[TrialResult]) -> TrialResult:
    """The trial with the highest R²; the earliest where none is higher."""
    return max(results, key=lambda r: -math.inf if math.isnan(r.validation_r2) else r.validation_r2)


def by_method(results: Sequence[TrialResult]) -> dict[str, list[TrialResult]]:
    """The trials of every method, methods in the order they come in."""
    methods = dict.fromkeys(result.method for result in results)
    return {name: [result for result in results if result.method == name] for name in methods}


def summary_table(results: Sequence[TrialResult]) -> ResultTable:
    """Per method: trials, R² of the recipe's settings and of the best trial, CPU seconds of all."""
    lines = []
    for method, trials in by_method(results).items():
        chosen = best(trials)
        spent = number(sum(trial.cpu_s for trial in trials), digits=1)
        first, most = number(trials[0].validation_r2), number(chosen.validation_r2)
        lines.append((method, str(len(trials)), first, most, str(chosen.trial), spent))
    columns = ("Method", "Trials", "R², recipe", "R², best", "Best trial", "All trials, CPU s")
    return ResultTable("Tuning on validation time", columns, tuple(lines))


def best_settings(results: Sequence[TrialResult]) -> str:
    """For each method the best trial's settings as `--set` options, as a shell takes them."""
    lines = []
    for method, trials in by_method(results).items():
        chosen, spent = best(trials), sum(trial.cpu_s for trial in trials)
        lines.append(
            f"# {method}: trial {chosen.trial}, R² on validation {number(chosen.validation_r2)}; "
            f"{spent:.1f} CPU s in {len(trials)} trials"
        )
        own = ["# the settings of the recipe"] if chosen.trial == 0 else []
        lines += own or [f"--set '{line}'" for line in override_lines(chosen.settings)]
    return "\n".join(lines) + "\n"


def write_tuning(out: Path, results: Sequence[TrialResult]) -> None:
    """Write `tuning.csv` and `tuning.md`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TrialResult._fields)
    for row in results:
        r2 = "" if math.isnan(row.validation_r2) else f"{row.validation_r2:.6g}"
        settings = json.dumps(row.settings)
        writer.writerow([row.method, row.trial, settings, r2, f"{row.cpu_s:.3f}"])
    write_text(out / "tuning.csv", text.getvalue())
    write_text(out / "tuning.md", _page(out, results))


def read_tuning(path: Path) -> list[TrialResult]:
    """Read `tuning.csv`; nothing where there is none.

    Raises:
        ValueError: it is no such table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    try:
        return [
            TrialResult(
                line["method"],
                int(line["trial"]),
                json.loads(line["settings"]),
                float(line["validation_r2"] or "nan"),
                float(line["cpu_s"]),
            )
            for line in lines
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the columns {', '.join(TrialResult._fields)} and numbers in them, "
            f"but {error}; delete the file, finished trials are kept in their folders"
        ) from error


def _page(out: Path, results: Sequence[TrialResult]) -> str:
    text = (
        "R² is the mean over sessions on validation time; test time is not used. Trial 0 is the "
        "recipe as it is. The CPU seconds of the student are without those of its teacher, which "
        "all its trials share."
    )
    lines = [
        (
            r.method,
            str(r.trial),
            ", ".join(override_lines(r.settings)),
            number(r.validation_r2),
            number(r.cpu_s, digits=1),
        )
        for r in results
    ]
    columns = ("Method", "Trial", "Settings", "R²", "CPU s")
    trials = ResultTable("All trials", columns, tuple(lines), text_columns=3)
    sections = [
        Section("Summary", (text,), tables=(summary_table(results),)),
        Section("Best settings", (f"```text\n{best_settings(results)}```",)),
        Section("Trials", tables=(trials,)),
    ]
    return markdown("Tuning", sections, out)
