"""Sections as Markdown, with links to their pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from realm.report.section import Picture, Section

TAG = re.compile(r"<(?=[A-Za-z/!?])")
CELL = re.compile(r"(\| *)(=)")


def markdown(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The whole document; `folder` is where it will lie, pictures are linked from there."""
    text = [f"# {harmless(title)}\n", *(_section(section, folder) for section in sections)]
    return "\n".join(text)


def harmless(text: str) -> str:
    """Text without tags of HTML, and without cells that a spreadsheet would compute."""
    return CELL.sub(r"\1\\\2", TAG.sub("&lt;", text))


def _section(section: Section, folder: Path) -> str:
    parts = [harmless(f"## {section.title}\n")]
    parts += [harmless(f"{paragraph}\n") for paragraph in section.text]
    parts += [_picture(picture, folder) for picture in section.pictures]
    parts += [harmless(f"### {table.title}\n\n{table.markdown()}") for table in section.tables]
    return "\n".join(parts)


def _picture(picture: Picture, folder: Path) -> str:
    link = picture.path.relative_to(folder).as_posix()
    caption = harmless(picture.caption)
    return f"![{caption}](<{link}>)\n\n{caption}\n"
