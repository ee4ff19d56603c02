"""What a part of the benchmark is: what it works on, what it returns, how its report is made."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from realm.benchmark.cost import CostRow
from realm.benchmark.order import sessions_by_subject
from realm.data.sessions import PreparedSession, PreparedSet
from realm.evaluation.results import COLUMNS, ResultRow, row_from_cells, row_to_cells
from realm.files import sha256_json, write_text
from realm.progress import Progress
from realm.recipe import LabelsConfig, Recipe
from realm.report.section import Section
from realm.stages import fingerprint

HEADER = ("part", "variant", *COLUMNS)  # of benchmark.csv
# What rows depend on; the name of a recipe is only a name.
RECIPE_PARTS = ("seeds", "signal", "data", "pretrain", "distill", "calibrate", "baselines")


@dataclass(frozen=True)
class Benchmark:
    """The recordings of a benchmark, their prepared files, and where and how to work on them.

    Attributes:
        recipe: as `plain` leaves it.
        recordings, prepared: files, in the same order.
        out: folder of the benchmark; a part works in folders of its own below it.
        jobs: seeds side by side.
    """

    recipe: Recipe
    recordings: tuple[Path, ...]
    prepared: tuple[Path, ...]
    out: Path
    jobs: int
    progress: Progress

    @cached_property
    def sessions(self) -> list[PreparedSession]:
        """The prepared sessions, by session id."""
        return PreparedSet([PreparedSession.load(path) for path in self.prepared]).sessions

    @cached_property
    def by_subject(self) -> dict[str, list[str]]:
        """Session ids of every subject, in the order of their recording."""
        return sessions_by_subject(self.recordings)

    def prepared_of(self, session_ids: Sequence[str]) -> list[Path]:
        """Prepared files of these sessions."""
        return [session.path for session in self.sessions if session.session_id in session_ids]

    def fingerprint(self) -> str:
        """What the rows of all parts depend on."""
        data = sha256_json([fingerprint(session) for session in self.sessions])
        return self.recipe.fingerprint(*RECIPE_PARTS, "benchmark", data_hash=data)


class BenchmarkRow(NamedTuple):
    """One row of one part; `variant` says what the part varied, such as "50 ms" of lookahead."""

    part: str
    variant: str
    row: ResultRow


class Measured(NamedTuple):
    """What the report of a part is made from.

    Attributes:
        rows: of all finished parts.
        costs: of the methods of the main run.
    """

    bench: Benchmark
    rows: Sequence[BenchmarkRow]
    costs: Sequence[CostRow]

    def select(self, part: str, variant: str | None = None) -> list[ResultRow]:
        """The results of a part (and variant) on test time."""
        return select(self.rows, part, variant)

    def figure(self, name: str) -> Path:
        """Where the figure of this name lies."""
        return self.bench.out / "figures" / f"{name}.png"


class Part(NamedTuple):
    """One part of the benchmark: it trains or measures one thing, in folders of its own.

    Attributes:
        title: heading of its section in the report.
        about: what was done, one sentence for the reader of the report.
        run: does the work, or finds it done, and returns the rows.
        impossible: says in one sentence why these recordings do not allow it; None if they do.
        needs: names of the parts that must be done before.
        show: makes its sections and draws their figures. Without it, a table shows R² by variant.
    """

    title: str
    about: str
    run: Callable[[Benchmark], list[BenchmarkRow]]
    impossible: Callable[[Benchmark], str | None] = lambda benchmark: None
    needs: tuple[str, ...] = ()
    show: Callable[[Measured], list[Section]] | None = None


def plain(recipe: Recipe) -> Recipe:
    """The recipe with all labels and no lookahead: these have parts of their own."""
    return with_lookahead(recipe.model_copy(update={"labels": LabelsConfig()}), 0.0)


def with_lookahead(recipe: Recipe, lookahead_ms: float) -> Recipe:
    """The recipe whose student waits this long."""
    distill = recipe.distill.model_copy(update={"lookahead_ms": lookahead_ms})
    return recipe.model_copy(update={"distill": distill})


def with_methods(recipe: Recipe, methods: Sequence[str]) -> Recipe:
    """The recipe with these methods beside the student."""
    baselines = recipe.baselines.model_copy(update={"methods": list(methods)})
    return recipe.model_copy(update={"baselines": baselines})


def of_part(part: str, variant: str, rows: Iterable[ResultRow]) -> list[BenchmarkRow]:
    """These results, as rows of a part."""
    return [BenchmarkRow(part, variant, row) for row in rows]


def select(
    rows: Iterable[BenchmarkRow], part: str, variant: str | None = None, split: str = "test"
) -> list[ResultRow]:
    """The results of a part (and variant) on one split."""
    return [
        found.row
        for found in rows
        if found.part == part and variant in (None, found.variant) and found.row.split == split
    ]


def variants(rows: Iterable[BenchmarkRow], part: str) -> list[str]:
    """The variants of a part, in the order of its rows."""
    return list(dict.fromkeys(found.variant for found in rows if found.part == part))


def write_rows(rows: Sequence[BenchmarkRow], path: Path) -> None:
    """Write rows as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([part, variant, *row_to_cells(row)] for part, variant, row in rows)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[BenchmarkRow]:
    """Read what `write_rows` wrote.

    Raises:
        ValueError: the file has other columns or a cell that cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        header, *lines = list(csv.reader(stream)) or [[]]
    if tuple(header) != HEADER:
        raise ValueError(
            f"{path}: expected the columns {', '.join(HEADER)}; found "
            f"{', '.join(header) or 'an empty file'}; delete it and run the benchmark again"
        )
    return [
        BenchmarkRow(part, variant, row_from_cells(cells, path, number))
        for number, (part, variant, *cells) in enumerate(lines, start=2)
    ]
