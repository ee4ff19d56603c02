"""How a run was made, as its `run.json` says: settings, versions, hashes and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realm.report.run_folder import RunFolder
from realm.report.section import Section, left_out
from realm.report.tables import ResultTable, number

TITLE = "Settings, versions and times"


def settings_section(run: RunFolder) -> Section:
    """All entries of run.json, one table for each."""
    if not run.record:
        return left_out(TITLE, "Left out: this run has no `run.json`.")
    text = f"As stored in `{run.run / 'run.json'}`; hashes are shortened here."
    return Section(TITLE, (text,), tables=tuple(record_tables(run.record)), folded=True)


def record_tables(record: Mapping[str, Any]) -> list[ResultTable]:
    """One two-column table per top-level entry of run.json; nested keys are joined by dots."""
    loose = {key: value for key, value in record.items() if not isinstance(value, Mapping)}
    grouped = {key: value for key, value in record.items() if isinstance(value, Mapping) and value}
    entries = {**({"run": loose} if loose else {}), **grouped}
    return [
        _stage_table(entry) if name == "stages" else _key_table(name, entry)
        for name, entry in entries.items()
    ]


def flat_settings(entry: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Keys joined by dots, and their values."""
    lines: list[tuple[str, Any]] = []
    for key, value in entry.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and value
        lines += flat_settings(value, f"{name}.") if nested else [(name, value)]
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


def _key_table(name: str, entry: Mapping[str, Any]) -> ResultTable:
    lines = tuple((key, short_value(value)) for key, value in flat_settings(entry))
    return ResultTable(name, ("Key", "Value"), lines, text_columns=2)


def _stage_table(stages: Mapping[str, Mapping[str, float]]) -> ResultTable:
    lines = tuple(
        (stage, *(number(times.get(key, float("nan")), digits=1) for key in ("wall_s", "cpu_s")))
        for stage, times in stages.items()
    )
    return ResultTable("stages", ("Stage", "Wall time, s", "CPU time, s"), lines)
