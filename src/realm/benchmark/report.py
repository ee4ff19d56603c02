"""What a benchmark leaves to read: tables, claims and figures, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from realm.benchmark.claims import Claim, all_claims
from realm.benchmark.cost import CostRow, cost_markdown, cost_rows, write_costs
from realm.benchmark.figures import draw_all
from realm.benchmark.part import Benchmark
from realm.benchmark.parts import PARTS
from realm.benchmark.rows import BenchmarkRow, write_rows
from realm.benchmark.tables import all_tables, claims_table
from realm.evaluation.results import write_results
from realm.files import write_json, write_text
from realm.report.tables import ResultTable
from realm.report.write import HOW_MEASURED
from realm.runs.run import commit

IN_RESULTS = ("main", "lookahead")  # parts whose rows stand in results.csv


@dataclass(frozen=True)
class Outcome:
    """What there is after a benchmark: the rows of all finished parts, and why others are not."""

    bench: Benchmark
    rows: Sequence[BenchmarkRow]
    skipped: Mapping[str, str]  # part to reason

    @property
    def claims(self) -> list[Claim]:
        """Every claim, judged by the rows."""
        return all_claims(self.rows)

    @property
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
    """Write results.csv, benchmark.csv, benchmark.json, benchmark.md and the figures."""
    bench, rows = outcome.bench, outcome.rows
    write_results([r.row for r in rows if r.part in IN_RESULTS], bench.out / "results.csv")
    write_rows(rows, bench.out / "benchmark.csv")
    tables, costs = all_tables(bench, rows), outcome.costs
    if costs:
        write_costs(costs, bench.out / "cost.csv")
    figures = [
        f"![{caption}](<{path.relative_to(bench.out).as_posix()}>)\n\n{caption}\n"
        for path, caption in draw_all(bench, rows, costs)
    ]
    write_text(bench.out / "benchmark.md", _markdown(outcome, tables, costs, figures))
    write_json(bench.out / "benchmark.json", _machine(outcome, tables, costs))


def _markdown(
    outcome: Outcome,
    tables: Sequence[ResultTable],
    costs: Sequence[CostRow],
    figures: Sequence[str],
) -> str:
    recipe, sessions = outcome.bench.recipe, outcome.bench.sessions
    seeds = ", ".join(map(str, recipe.seeds))
    facts = f"Recipe `{recipe.name}`, {len(sessions)} sessions, seeds {seeds}."
    parts = [f"# Benchmark: {recipe.name}\n", f"{facts} {HOW_MEASURED}\n"]
    done = dict.fromkeys(row.part for row in outcome.rows)
    parts += [f"- **{name}**: {PARTS[name].about}.\n" for name in done]
    parts += [f"- **{name}** was skipped: {reason}.\n" for name, reason in outcome.skipped.items()]
    parts += [f"- **{name}** is not done yet.\n" for name in outcome.missing]
    shown = [claims_table(outcome.claims), *tables]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in shown]
    parts += [f"## Cost\n\n{cost_markdown(costs)}"] if costs else []
    parts += ["## Figures\n", *figures] if figures else []
    return "\n".join(parts)


def _machine(
    outcome: Outcome, tables: Sequence[ResultTable], costs: Sequence[CostRow]
) -> dict[str, Any]:
    """The same, as JSON values; what is undefined is null."""
    return {
        "recipe": outcome.bench.recipe.resolved(),
        "commit": commit(),
        "sessions": outcome.bench.by_subject,
        "skipped": dict(outcome.skipped),
        "missing": outcome.missing,
        "claims": [_json(asdict(claim)) for claim in outcome.claims],
        "cost": [_json(asdict(row)) for row in costs],
        "tables": {
            table.title: [dict(zip(table.columns, line, strict=True)) for line in table.rows]
            for table in tables
        },
    }


def _json(values: dict[str, Any]) -> dict[str, Any]:
    unfit = {k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return {key: None if key in unfit else value for key, value in values.items()}
