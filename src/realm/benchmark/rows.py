"""What the parts of a benchmark measured: rows of `results.csv` with the part and its variant."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from realm.evaluation.results import COLUMNS, ResultRow, row_from_cells, row_to_cells
from realm.files import write_text

HEADER = ("part", "variant", *COLUMNS)


class BenchmarkRow(NamedTuple):
    """One row of one part; `variant` says what the part varied, such as "50 ms" of lookahead."""

    part: str
    variant: str
    row: ResultRow


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
