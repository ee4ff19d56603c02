"""One row per method, session, seed, split and label budget: `results.csv`.

The columns and their order are a promise to whoever reads the file with other tools. A score that
is undefined (behavior that does not vary) is an empty cell, never 0. A method that looks at the
whole future has a lookahead of "inf".
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from realm.files import write_text

Split = Literal["validation", "test"]
LabelBudget = float | Literal["all"]

UNDEFINED = float("nan")


@dataclass(frozen=True)
class ResultRow:
    """What one method reached on one split of one session, and what it cost.

    Scores are averages over the behavior's dimensions, NaN = undefined. `label_s` is how many
    seconds of the session's labels were used, or "all". `parameters` and `us_per_bin` count what
    runs at deployment, `train_cpu_s` what training this method took (a teacher is not included).
    """

    method: str
    session: str
    subject: str
    seed: int
    split: Split
    label_s: LabelBudget
    lookahead_ms: float
    r2: float
    r2_low: float
    r2_high: float
    pearson_r: float
    r2_shifted: float
    parameters: int
    train_cpu_s: float
    us_per_bin: float

    def __post_init__(self) -> None:
        if self.split not in ("validation", "test"):
            raise ValueError(
                f"expected split 'validation' or 'test', arrived {self.split!r}; "
                "name the part of the session that was scored"
            )
        if self.label_s != "all" and not self.label_s >= 0:
            raise ValueError(
                f"expected label_s 'all' or seconds of 0 or more, arrived {self.label_s!r}; "
                "give the length of the labels that were used"
            )

    @property
    def causal(self) -> bool:
        """Whether the method could run live: it waits for a finite time at most."""
        return math.isfinite(self.lookahead_ms)


COLUMNS = tuple(field.name for field in fields(ResultRow))
_TEXT = frozenset({"method", "session", "subject", "split"})
_WHOLE = frozenset({"seed", "parameters"})


def write_results(rows: Iterable[ResultRow], path: Path | str) -> None:
    """Write all rows as CSV, atomically, numbers with six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row_to_cells(row) for row in rows)
    write_text(path, text.getvalue())


def row_to_cells(row: ResultRow) -> list[str]:
    """The cells of a row in the order of `COLUMNS`."""
    return [_cell(getattr(row, column)) for column in COLUMNS]


def read_results(path: Path | str) -> list[ResultRow]:
    """Read what `write_results` wrote; empty scores become NaN.

    Raises:
        ValueError: the file is missing, has other columns or a cell that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a results file here, found none; check the run folder")
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    header = tuple(lines[0]) if lines else ()
    if header != COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {', '.join(COLUMNS)}; found "
            f"{', '.join(header) or 'an empty file'}; give a results.csv of this package"
        )
    return [row_from_cells(cells, path, number) for number, cells in enumerate(lines[1:], start=2)]


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def row_from_cells(cells: list[str], path: Path, number: int) -> ResultRow:
    """The row that `row_to_cells` wrote; `path` and line `number` are named if it cannot be read.

    Raises:
        ValueError: a cell is missing or cannot be read.
    """
    try:
        values = dict(zip(COLUMNS, cells, strict=True))
        return ResultRow(**{name: _value(name, cell) for name, cell in values.items()})  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(
            f"{path}, line {number}: expected one cell per column, numbers where the column has "
            f"numbers; this line cannot be read ({error}); restore the file or run again"
        ) from error


def _value(name: str, cell: str) -> str | float:
    if name in _TEXT or (name == "label_s" and cell == "all"):
        return cell
    if name in _WHOLE:
        return int(cell)
    return float(cell) if cell else UNDEFINED
