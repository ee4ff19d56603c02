"""The tables of a run: accuracy per method and per session, differences, and what it cost.

A table is made once, as cells of text, and shown in the terminal, in Markdown or in HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import JustifyMethod
from rich.table import Table as RichTable

from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow, Split
from realm.methods.registry import methods_of

TERMINAL, GAP = 80, 2  # characters: of a line, and between the columns of a table


@dataclass(frozen=True)
class ResultTable:
    """Cells as text. The first `text_columns` columns are names, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1

    def markdown(self) -> str:
        """As a Markdown table, without its title."""
        rule = ["---" if i < self.text_columns else "---:" for i in range(len(self.columns))]
        escaped = [[cell.replace("|", "\\|") for cell in row] for row in self.rows]
        lines = [list(self.columns), rule, *escaped]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def html(self) -> str:
        """As an HTML table that scrolls sideways on a narrow screen."""
        head = "".join(f"<th scope=col>{html.escape(column)}</th>" for column in self.columns)
        body = "\n".join(f"<tr>{self._html_row(row)}</tr>" for row in self.rows)
        return (
            f'<div class="scroll"><table class="names-{self.text_columns}"><thead><tr>{head}</tr>'
            f"</thead><tbody>\n{body}\n</tbody></table></div>\n"
        )

    def rich(self) -> RichTable:
        """For the terminal: no frame, and lines broken between words, to fit 80 columns."""
        table = RichTable(
            title=self.title,
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for i, (column, width) in enumerate(zip(self.columns, self._widths(), strict=True)):
            justify: JustifyMethod = "left" if i < self.text_columns else "right"
            table.add_column(column, justify=justify, width=width)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _widths(self) -> list[int]:
        """Characters per column: as long as the cells, less where a line can be broken."""
        columns = list(zip(self.columns, *self.rows, strict=True))
        widths = [max(map(len, cells)) for cells in columns]
        least = [max(len(word) for cell in cells for word in cell.split()) for cells in columns]
        while sum(widths) + GAP * (len(widths) - 1) > TERMINAL and widths != least:
            spare = [width - needed for width, needed in zip(widths, least, strict=True)]
            widths[spare.index(max(spare))] -= 1
        return widths

    def _html_row(self, row: tuple[str, ...]) -> str:
        return "".join(
            f"<td{'' if i < self.text_columns else ' class=n'}>{html.escape(cell)}</td>"
            for i, cell in enumerate(row)
        )


def accuracy_table(rows: Sequence[ResultRow], split: Split = "test") -> ResultTable:
    """Per method and label budget: mean R², its spread over sessions and over seeds, controls."""
    lines = []
    for method, label_s, group in _groups(rows, split):
        by_session, by_seed = _means(group, "session"), _means(group, "seed")
        lines.append(
            (
                method,
                labels_text(label_s),
                number(mean_defined(by_session)) + _undefined_note(by_session),
                _spread(by_session),
                _spread(by_seed),
                number(mean_defined([row.pearson_r for row in group])),
                number(mean_defined([row.r2_shifted for row in group])),
                f"{len(by_session)} × {len(by_seed)}",
            )
        )
    columns = (
        *("Method", "Labels", "R²", "SD over sessions", "SD over seeds", "Pearson r"),
        *("R², shifted behavior", "Sessions × seeds"),
    )
    return ResultTable(f"Accuracy on {split} time", columns, tuple(lines), text_columns=2)


def session_table(rows: Sequence[ResultRow], split: Split = "test") -> ResultTable:
    """R² per session (mean over seeds), one column per method; budgets in lines of their own."""
    rows = [row for row in rows if row.split == split]
    methods = methods_of(rows)
    lines = []
    for label_s in label_budgets(rows):
        for session in dict.fromkeys(row.session for row in rows):
            group = [row for row in rows if (row.session, row.label_s) == (session, label_s)]
            if group:
                cells = [_method_cell(group, method) for method in methods]
                lines.append((session, group[0].subject, labels_text(label_s), *cells))
    columns = ("Session", "Subject", "Labels", *methods)
    return ResultTable(f"R² per session on {split} time", columns, tuple(lines), text_columns=3)


def difference_table(
    rows: Sequence[ResultRow], method: str = "student", split: Split = "test"
) -> ResultTable:
    """R² of `method` minus every other method, paired by session and seed, with 95% intervals."""
    rows = [row for row in rows if row.split == split]
    lines = []
    for other, label_s, _ in _groups(rows, split):
        if other == method or not _has(rows, method, label_s):
            continue
        paired = paired_interval(rows, method, other, split=split, label_s=label_s)
        pairs = f"{paired.sessions} × {paired.seeds}"
        difference = number(paired.mean, sign=True)
        between = interval(paired.low, paired.high, "needs 2 sessions or seeds")
        lines.append((f"{method} − {other}", labels_text(label_s), difference, between, pairs))
    columns = ("Difference", "Labels", "R²", "95% interval", "Sessions × seeds")
    title = f"Paired differences on {split} time"
    return ResultTable(title, columns, tuple(lines), text_columns=2)


def confidence_table(rows: Sequence[ResultRow]) -> ResultTable:
    """The student's R² per session with its interval, means over seeds; all labels, test time."""
    lines = []
    own = [r for r in rows if (r.method, r.split, r.label_s) == ("student", "test", "all")]
    for session in dict.fromkeys(row.session for row in own):
        group = [row for row in own if row.session == session]
        keys = ("r2", "r2_low", "r2_high", "pearson_r")
        r2, low, high, r = (mean_defined([getattr(row, key) for row in group]) for key in keys)
        between = "undefined" if math.isnan(low) else f"{number(low)} to {number(high)}"
        lines.append((session, number(r2), between, number(r), str(len(group))))
    columns = ("Session", "R²", "95% interval", "Pearson r", "Seeds")
    return ResultTable("The student on test time, with confidence", columns, tuple(lines))


def cost_table(rows: Sequence[ResultRow]) -> ResultTable:
    """Per method: what runs at deployment and what its training took, means over the rows.

    Parameters are a range where sessions differ in their number of channels.
    """
    lines = []
    for method in methods_of(rows):
        group = [row for row in rows if row.method == method]
        parameters = sorted({row.parameters for row in group})
        lookahead = max(row.lookahead_ms for row in group)
        lines.append(
            (
                method,
                " to ".join(f"{n:,}" for n in dict.fromkeys((parameters[0], parameters[-1]))),
                number(mean_defined([row.train_cpu_s for row in group]), digits=1),
                number(mean_defined([row.us_per_bin for row in group]), digits=1),
                number(lookahead, digits=0) if math.isfinite(lookahead) else "whole recording",
            )
        )
    columns = ("Method", "Parameters", "Training, CPU s", "Decoding, µs per bin", "Lookahead, ms")
    return ResultTable("Cost", columns, tuple(lines))


def label_budgets(rows: Iterable[ResultRow]) -> list[LabelBudget]:
    """The label budgets in the rows: "all" first, then the longest."""
    budgets = {row.label_s for row in rows}
    return sorted(budgets, key=lambda label_s: -math.inf if label_s == "all" else -float(label_s))


def labels_text(label_s: LabelBudget) -> str:
    """ "all", or the length with its unit."""
    return "all" if label_s == "all" else f"{label_s:g} s"


def number(value: float, *, digits: int = 3, sign: bool = False) -> str:
    """A number as tables show it: a true minus sign, NaN as "undefined"."""
    if math.isnan(value):
        return "undefined"
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: float, high: float, without: str = "–") -> str:
    """An interval of differences; `without` where it is undefined."""
    if not math.isfinite(low):
        return without
    return f"{number(low, sign=True)} to {number(high, sign=True)}"


def _groups(
    rows: Sequence[ResultRow], split: Split
) -> Iterable[tuple[str, LabelBudget, list[ResultRow]]]:
    rows = [row for row in rows if row.split == split]
    for label_s in label_budgets(rows):
        budget = [row for row in rows if row.label_s == label_s]
        for method in methods_of(budget):
            yield method, label_s, [row for row in budget if row.method == method]


def _means(rows: Sequence[ResultRow], over: str) -> list[float]:
    """Mean R² for every value of one column; NaN where it is undefined throughout."""
    values = dict.fromkeys(getattr(row, over) for row in rows)
    return [mean_defined([row.r2 for row in rows if getattr(row, over) == v]) for v in values]


def _spread(values: Sequence[float]) -> str:
    """Standard deviation as text; a dash where there are fewer than two values."""
    defined = [value for value in values if not math.isnan(value)]
    return number(float(np.std(defined, ddof=1))) if len(defined) > 1 else "–"


def _undefined_note(by_session: Sequence[float]) -> str:
    missing = sum(math.isnan(value) for value in by_session)
    return f" ({missing} undefined)" if 0 < missing < len(by_session) else ""


def _method_cell(rows: Sequence[ResultRow], method: str) -> str:
    scores = [row.r2 for row in rows if row.method == method]
    return number(mean_defined(scores)) if scores else ""


def _has(rows: Sequence[ResultRow], method: str, label_s: LabelBudget) -> bool:
    return any((row.method, row.label_s) == (method, label_s) for row in rows)
