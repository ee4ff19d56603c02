"""What a page is made of: sections with sentences, tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from realm.report.markdown import Picture
from realm.report.tables import ResultTable

__all__ = ["Picture", "Section", "left_out"]


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: its heading.
        text: paragraphs; what stands between `backticks` is shown as code.
        pictures: shown below the text.
        tables: below the pictures, each under its own title.
        folded: the tables are closed until the reader opens them.
        left_out: nothing was there to show; the text says how to get it.
    """

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[ResultTable, ...] = ()
    folded: bool = False
    left_out: bool = False


def left_out(title: str, how: str) -> Section:
    """A section without data, with the sentence that says how to get them."""
    return Section(title, (how,), left_out=True)
