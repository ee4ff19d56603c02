"""What a benchmark leaves to read: tables, claims and figures, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from realm.benchmark.claims import Claim, all_claims, claims_table
from realm.benchmark.cost import CostRow, cost_rows, cost_tables, write_costs
from realm.benchmark.curves import cell
from realm.benchmark.part import Benchmark, BenchmarkRow, Measured, select, variants, write_rows
from realm.benchmark.parts import PARTS
from realm.evaluation.results import write_results
from realm.files import write_json, write_text
from realm.methods.registry import methods_of
from realm.report.markdown import markdown
from realm.report.section import Section, left_out
from realm.report.tables import ResultTable
from realm.report.write import HOW_MEASURED
from realm.runs.record import commit

IN_RESULTS = ("main", "lookahead")  # parts whose rows stand in results.csv


@dataclass(frozen=True)
class Outcome:
    """What a benchmark found: the rows of all finished parts, and why others were skipped."""

    bench: Benchmark
    rows: Sequence[BenchmarkRow]
    skipped: Mapping[str, str]  # part to reason

    @property
    def claims(self) -> list[Claim]:
        """Every claim, judged by the rows."""
        return all_claims(self.rows)

    @cached_property
    def costs(self) -> list[CostRow]:
        """What the methods of the main run, and of that on spikes, cost."""
        done = {row.part for row in self.rows}
        spikes = self.bench.out / "spikes" if "spikes" in done else None
        return cost_rows(self.bench.out / "main", spikes) if "main" in done else []

    @property
    def missing(self) -> list[str]:
        """Parts that are possible and not done yet."""
        done = {row.part for row in self.rows}
        return [name for name in PARTS if name not in done and name not in self.skipped]


def write_outcome(outcome: Outcome) -> None:
    """Write results.csv, benchmark.csv, cost.csv, benchmark.json, benchmark.md and the figures."""
    bench, rows, costs = outcome.bench, outcome.rows, outcome.costs
    write_results([r.row for r in rows if r.part in IN_RESULTS], bench.out / "results.csv")
    write_rows(rows, bench.out / "benchmark.csv")
    if costs:
        write_costs(costs, bench.out / "cost.csv")
    shown = {name: sections_of(name, outcome) for name in PARTS}
    title = f"Benchmark: {bench.recipe.name}"
    sections = [
        _overview(outcome),
        Section("Claims", (), tables=(claims_table(outcome.claims),)),
        *chain.from_iterable(shown.values()),
        *([Section("Cost", (), tables=cost_tables(costs))] if costs else []),
        Section("How it was measured", (HOW_MEASURED,)),
    ]
    write_text(bench.out / "benchmark.md", markdown(title, sections, bench.out))
    write_json(bench.out / "benchmark.json", _machine(outcome, shown))


def sections_of(name: str, outcome: Outcome) -> list[Section]:
    """The sections of one part; if it is not done, the reason or how to do it."""
    part, bench = PARTS[name], outcome.bench
    if name in outcome.skipped:
        why = f"Left out, these recordings do not allow it: {outcome.skipped[name]}."
        return [left_out(part.title, why)]
    if name in outcome.missing:
        return [
            left_out(
                part.title,
                f"Left out, it is not done yet: `realm benchmark {bench.recipe.name} --data FOLDER "
                f"--out {bench.out} --only {name}` measures it, then `realm report {bench.out}` "
                "shows it.",
            )
        ]
    if part.show is None:
        return [Section(part.title, (f"Done: {part.about}.",), tables=(_variants(name, outcome),))]
    return part.show(Measured(bench, outcome.rows, outcome.costs))


def _variants(name: str, outcome: Outcome) -> ResultTable:
    """R² on test time by variant of a part, one column per method."""
    own = [found for found in outcome.rows if found.part == name]
    methods = methods_of(select(own, name))
    lines = tuple(
        (variant, *(cell(select(own, name, variant), method) for method in methods))
        for variant in variants(own, name)
    )
    return ResultTable(f"R² on test time, part {name}", ("Variant", *methods), lines)


def _overview(outcome: Outcome) -> Section:
    recipe, sessions = outcome.bench.recipe, outcome.bench.sessions
    seeds = ", ".join(map(str, recipe.seeds))
    text = f"Recipe `{recipe.name}`, {len(sessions)} sessions, seeds {seeds}."
    states = dict.fromkeys(outcome.missing, "not done yet")
    states |= {name: f"skipped: {reason}" for name, reason in outcome.skipped.items()}
    lines = [(name, states.get(name, "done"), part.about) for name, part in PARTS.items()]
    table = ResultTable("Parts", ("Part", "State", "What it does"), tuple(lines), text_columns=3)
    return Section("Parts", (text,), tables=(table,))


def _machine(outcome: Outcome, shown: Mapping[str, Sequence[Section]]) -> dict[str, Any]:
    """The same as JSON values; undefined is null. `report` is what `realm report` reads."""
    tables = [t for sections in shown.values() for section in sections for t in section.tables]
    return {
        "recipe": outcome.bench.recipe.resolved(),
        "commit": commit(),
        "sessions": outcome.bench.by_subject,
        "skipped": dict(outcome.skipped),
        "missing": outcome.missing,
        "claims": [_json(asdict(claim)) for claim in outcome.claims],
        "cost": [_json(asdict(row)) for row in outcome.costs],
        "tables": {
            table.title: [dict(zip(table.columns, line, strict=True)) for line in table.rows]
            for table in tables
        },
        "report": [
            _shown(name, section, outcome.bench.out)
            for name, sections in shown.items()
            for section in sections
        ],
    }


def _shown(part: str, section: Section, folder: Path) -> dict[str, Any]:
    """A section without the lines of its tables, which stand beside it."""
    return {
        "part": part,
        "title": section.title,
        "text": section.text,
        "pictures": [
            {"file": picture.path.relative_to(folder).as_posix(), "caption": picture.caption}
            for picture in section.pictures
        ],
        "tables": [
            {"title": table.title, "text_columns": table.text_columns} for table in section.tables
        ],
        "left_out": section.left_out,
    }


def _json(values: dict[str, Any]) -> dict[str, Any]:
    unfit = {k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return {key: None if key in unfit else value for key, value in values.items()}
