"""The help of a command from its docstring, the examples one to a line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

HEADING = "Examples:"
KEEP_LINES = "\b"  # what the help of the command line calls a paragraph to leave as it is


def help_text(command: Callable[..., Any]) -> str:
    """The docstring: its paragraphs each a line, its examples marked to be kept as they are."""
    text = inspect.getdoc(command) or ""
    said, heading, examples = text.partition(HEADING)
    if not heading:
        return text
    said = "\n\n".join(" ".join(paragraph.split()) for paragraph in said.strip().split("\n\n"))
    return f"{said}\n\n{KEEP_LINES}\n{HEADING}{examples.rstrip()}"


def examples_of(command: Callable[..., Any]) -> list[str]:
    """The command lines in the docstring of a command."""
    _, _, examples = (inspect.getdoc(command) or "").partition(HEADING)
    return [line.strip() for line in examples.splitlines() if line.strip()]
