"""What every report is made of: sections with sentences, pictures and tables.

A report is a title and a list of sections. `realm.report.page` shows them as one HTML page,
`realm.report.markdown` as Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from realm.report.tables import ResultTable


class Picture(NamedTuple):
    """A PNG file and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        title: its heading.
        text: paragraphs; words between `backticks` are shown as code, **these** are strong.
        pictures: shown below the text.
        tables: below the pictures, each under its own title.
        folded: on a page the tables are closed until the reader opens them.
        left_out: there is nothing to show; the text says how to get it.
    """

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[ResultTable, ...] = ()
    folded: bool = False
    left_out: bool = False


def left_out(title: str, how: str) -> Section:
    """A section with nothing to show; `how` tells the reader how to get it."""
    return Section(title, (how,), left_out=True)
