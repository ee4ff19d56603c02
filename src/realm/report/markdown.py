"""Sections as Markdown, with links to their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realm.report.section import Picture, Section


def markdown(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The whole document; `folder` is where it will lie, pictures are linked from there."""
    return "\n".join([f"# {title}\n", *(_section(section, folder) for section in sections)])


def _section(section: Section, folder: Path) -> str:
    parts = [f"## {section.title}\n", *(f"{paragraph}\n" for paragraph in section.text)]
    parts += [_picture(picture, folder) for picture in section.pictures]
    parts += [f"### {table.title}\n\n{table.markdown()}" for table in section.tables]
    return "\n".join(parts)


def _picture(picture: Picture, folder: Path) -> str:
    link = picture.path.relative_to(folder).as_posix()
    return f"![{picture.caption}](<{link}>)\n\n{picture.caption}\n"
