"""Sections as one HTML page that needs no other file, follows the screen, and can be printed.

Pictures are inside the page, and their size in all is bounded.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence

from PIL import Image

from realm.report.section import Picture, Section

MOST_PICTURE_BYTES = 4_200_000  # of all pictures in base64; a page then has at most 5 MB
SCALE = 2 / 3  # width in the page over width in pixels; the rest is for print
COLOURS = 128  # of an embedded picture: drawings need no more, and it halves their size


def page(title: str, sections: Sequence[Section], picture_bytes: int = MOST_PICTURE_BYTES) -> str:
    """The whole page.

    `picture_bytes` bounds the pictures in all; those beyond it are named instead of shown.
    """
    budget = _Budget(picture_bytes)
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [_section(section, index, budget) for index, section in enumerate(sections)]
    contents = "\n".join(
        f'<li><a href="#s{index}">{html.escape(section.title)}</a></li>'
        for index, section in enumerate(sections)
    )
    body.insert(1, f"<nav><ul>\n{contents}\n</ul></nav>")
    before, rest = _PAGE.split("{title}")
    between, after = rest.split("{body}")
    return "".join([before, html.escape(title), between, "\n".join(body), after])


class _Budget:
    """How many bytes of pictures may still be added."""

    def __init__(self, bytes_left: int) -> None:
        self.bytes_left = bytes_left

    def take(self, text: str) -> bool:
        if len(text) > self.bytes_left:
            return False
        self.bytes_left -= len(text)
        return True


def _section(section: Section, index: int, budget: _Budget) -> str:
    kind = ' class="left-out"' if section.left_out else ""
    parts = [f'<section{kind} id="s{index}">', f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{_prose(paragraph)}</p>" for paragraph in section.text]
    parts += [_picture(picture, budget) for picture in section.pictures]
    for table in section.tables:
        heading = html.escape(table.title)
        parts.append(
            f"<details><summary>{heading}</summary>\n{table.html()}</details>"
            if section.folded
            else f"<h3>{heading}</h3>\n{table.html()}"
        )
    return "\n".join([*parts, "</section>"])


def _prose(text: str) -> str:
    """Text with `code` and **strong** words."""
    escaped = html.escape(text)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _picture(picture: Picture, budget: _Budget) -> str:
    caption = html.escape(picture.caption, quote=True)
    content, width = _small(picture)
    data = base64.b64encode(content).decode("ascii")
    if not budget.take(data):
        name = html.escape(picture.path.name)
        return f"<p>Not shown, to keep this page small: <code>{name}</code> ({caption}).</p>"
    return (
        f'<figure><img alt="{caption}" width="{width}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _small(picture: Picture) -> tuple[bytes, int]:
    """The picture as a PNG with a palette, and its width in the page, where all have one scale."""
    with Image.open(picture.path) as image, io.BytesIO() as stream:
        flat = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        flat.save(stream, format="PNG", optimize=True)
        return stream.getvalue(), round(image.width * SCALE)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root { --ink: #1d1d1f; --muted: #5c5c62; --paper: #ffffff; --line: #dcdce0; --band: #f5f5f7;
  --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --muted: #a5a5ad; --paper: #17171a; --line: #3a3a40; --band: #222226;
    --link: #8ec2ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.4rem 0 0.8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 0.4rem; }
p { max-width: 46rem; margin: 0.5rem 0; }
a { color: var(--link); }
nav ul { margin: 0; padding: 0; list-style: none; columns: 16rem; font-size: 0.9rem; }
code { font-size: 0.9em; background: var(--band); padding: 0.1em 0.3em; border-radius: 4px;
  overflow-wrap: anywhere; }
#s0 p { font-size: 1.05rem; }
.left-out p { color: var(--muted); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; text-align: left;
  border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
td.n { white-space: nowrap; }
.n, .names-1 th:nth-child(n+2), .names-2 th:nth-child(n+3), .names-3 th:nth-child(n+4)
  { text-align: right; }
tbody tr:nth-child(even) { background: var(--band); }
figure { margin: 1.2rem 0 2rem; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 6px;
  border: 1px solid var(--line); padding: 0.5rem; }
figcaption { color: var(--muted); font-size: 0.9rem; margin-top: 0.4rem; overflow-wrap: anywhere; }
details { margin: 0.4rem 0; }
details td { white-space: normal; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: 0.3rem 0; }
@media print {
  :root { --ink: #000; --muted: #444; --paper: #fff; --line: #bbb; --band: #f3f3f3; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow-x: visible; }
  th, td { white-space: normal; padding: 0.2rem 0.4rem; }
}
</style>
</head>
<body>
{body}
</body>
</html>
"""
