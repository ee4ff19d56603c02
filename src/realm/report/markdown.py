"""What a run's folder says of its result, as text and tables, and report.md made of it.

Everything is taken from the folder: `results.csv`, `run.json` where it is there, and the pictures
in `figures/`. The page with everything in it is made by `realm.report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from realm.evaluation.comparison import paired_interval
from realm.evaluation.results import LabelBudget, ResultRow, read_results
from realm.files import read_json, write_text
from realm.report.tables import (
    ResultTable,
    accuracy_table,
    cost_table,
    difference_table,
    label_budgets,
    labels_text,
    number,
    session_table,
)

HOW_MEASURED = (
    "The last fifth of every session is test time, the tenth before it validation time, with 2 s "
    "left out on both sides of it; nothing is shuffled and every statistic comes from training "
    "time. Each session is decoded as one continuous stream. R² is averaged over the behavior's "
    "dimensions, then over sessions. Settings are chosen on validation time only. “R², shifted "
    "behavior” decodes behavior that was moved against the recording by at least 10 s: it is "
    "near 0, or below, unless something leaks."
)


class Picture(NamedTuple):
    """A PNG of the run and what it shows."""

    path: Path
    caption: str


def write_markdown(run_dir: Path | str) -> Path:
    """Write report.md into the folder of a run; returns its path.

    Raises:
        ValueError: the folder has no results.csv, or it or run.json cannot be read.
    """
    run_dir = Path(run_dir)
    rows = read_results(run_dir / "results.csv")
    record = read_json(run_dir / "run.json") if (run_dir / "run.json").exists() else {}
    text = _markdown(
        _title(record, run_dir),
        headline(rows),
        result_tables(rows),
        pictures(run_dir),
        run_dir,
        record_tables(record),
    )
    write_text(run_dir / "report.md", text)
    return run_dir / "report.md"


def headline(rows: Sequence[ResultRow]) -> list[str]:
    """The result in sentences: the student's R² and its distance to every other method."""
    sentences = []
    test = [row for row in rows if row.split == "test"]
    for label_s in label_budgets(test):
        budget = [row for row in test if row.label_s == label_s]
        student = [row for row in budget if row.method == "student"]
        if student:
            sentences.append(_headline(budget, label_s))
    return sentences


def pictures(run_dir: Path) -> list[Picture]:
    """The PNG files in `figures/` of a run: R² first, then trajectories, then learning curves."""
    found = sorted((run_dir / "figures").glob("*.png"), key=lambda path: (_rank(path), path.name))
    return [Picture(path, _caption(path)) for path in found]


def _headline(rows: Sequence[ResultRow], label_s: LabelBudget) -> str:
    table = accuracy_table(rows)
    cells = next(row for row in table.rows if row[0] == "student")
    labels = "all training labels" if label_s == "all" else f"{labels_text(label_s)} of labels"
    scored = [row for row in rows if row.method == "student" and row.split == "test"]
    n_sessions, n_seeds = (len({getattr(r, key) for r in scored}) for key in ("session", "seed"))
    sessions = "1 session" if n_sessions == 1 else f"{n_sessions} sessions"
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    text = f"With {labels}, the student reaches a test R² of {cells[2]} ({sessions}, {seeds})"
    text = text.replace(") (", "; ")  # the cell may end with "(1 undefined)"
    others = [row[0] for row in table.rows if row[0] != "student"]
    differences = [f"{_difference(rows, other, label_s)} against {other}" for other in others]
    return text + (": " + ", ".join(differences) if differences else "") + "."


def _difference(rows: Sequence[ResultRow], other: str, label_s: LabelBudget) -> str:
    return number(paired_interval(rows, "student", other, label_s=label_s).mean, sign=True)


def result_tables(rows: Sequence[ResultRow]) -> list[ResultTable]:
    """Accuracy, differences, sessions and cost, as far as there are rows."""
    splits = [split for split in ("test", "validation") if any(r.split == split for r in rows)]
    tables = []
    if "test" in splits:
        tables += [accuracy_table(rows), difference_table(rows), session_table(rows)]
    if "validation" in splits:
        tables.append(accuracy_table(rows, "validation"))
    return [table for table in [*tables, cost_table(rows)] if table.rows]


_CAPTIONS = {
    "r2": "R² of every method in every session",
    "trajectory": "Decoded and true behavior on test time",
    "loss": "Learning curves",
}


def _rank(path: Path) -> int:
    kinds = list(_CAPTIONS)
    return next((i for i, kind in enumerate(kinds) if path.stem.startswith(kind)), len(kinds))


def _caption(path: Path) -> str:
    kind = next((kind for kind in _CAPTIONS if path.stem.startswith(kind)), None)
    if kind is None:
        return path.stem.replace("_", " ")
    rest = path.stem.removeprefix(kind).strip("_")
    return _CAPTIONS[kind] + (f": {rest}" if rest and kind != "r2" and rest != "curves" else "")


def _title(record: Mapping[str, Any], run_dir: Path) -> str:
    settings = record.get("recipe") or record.get("config") or {}
    name = settings.get("name") if isinstance(settings, Mapping) else None
    return f"Decoding behavior: {name or run_dir.resolve().name}"


# What run.json says -----------------------------------------------------------------------------


def record_tables(record: Mapping[str, Any]) -> list[ResultTable]:
    """One two-column table per top-level entry of run.json; nested keys are joined by dots."""
    tables = []
    loose = {key: value for key, value in record.items() if not isinstance(value, Mapping)}
    grouped = {key: value for key, value in record.items() if isinstance(value, Mapping) and value}
    for name, entry in {**({"run": loose} if loose else {}), **grouped}.items():
        tables.append(_stage_table(entry) if name == "stages" else _key_table(name, entry))
    return tables


def _key_table(name: str, entry: Mapping[str, Any]) -> ResultTable:
    lines = tuple((key, short_value(value)) for key, value in flat_settings(entry))
    return ResultTable(name, ("Key", "Value"), lines, text_columns=2)


def _stage_table(stages: Mapping[str, Mapping[str, float]]) -> ResultTable:
    lines = tuple(
        (stage, *(number(times.get(key, float("nan")), digits=1) for key in ("wall_s", "cpu_s")))
        for stage, times in stages.items()
    )
    return ResultTable("stages", ("Stage", "Wall time, s", "CPU time, s"), lines)


def flat_settings(entry: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Keys joined by dots, and their values."""
    lines: list[tuple[str, Any]] = []
    for key, value in entry.items():
        name = f"{prefix}{key}"
        lines += (
            flat_settings(value, f"{name}.")
            if isinstance(value, Mapping) and value
            else [(name, value)]
        )
    return lines


def short_value(value: Any) -> str:
    """A value as a table shows it: hashes shortened, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(short_value, value)) or "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    is_hash = len(text) >= 40 and all(letter in "0123456789abcdef" for letter in text)
    return f"{text[:12]}…" if is_hash else text


# The page -------------------------------------------------------------------------------------


def _markdown(
    title: str,
    sentences: Sequence[str],
    tables: Sequence[ResultTable],
    shown: Sequence[Picture],
    run_dir: Path,
    record: Sequence[ResultTable],
) -> str:
    parts = [f"# {title}\n", *(f"{sentence}\n" for sentence in sentences)]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in tables]
    parts.append(f"## How it was measured\n\n{HOW_MEASURED}\n")
    if shown:
        parts.append("## Figures\n")
    parts += [
        f"![{picture.caption}](<{picture.path.relative_to(run_dir).as_posix()}>)\n\n"
        f"{picture.caption}\n"
        for picture in shown
    ]
    if record:
        parts.append("## Settings, versions and times\n")
    parts += [f"### {table.title}\n\n{table.markdown()}" for table in record]
    return "\n".join(parts)
