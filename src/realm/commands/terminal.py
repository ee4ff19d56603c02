"""What the user sees: messages and progress, then the answer of a command, or one error line.

Progress and errors go to stderr. The answer goes to stdout: text for people, or with `--json` one
JSON object and nothing else.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

    from realm.progress import Progress

console = Console(stderr=True)


def plain(error: BaseException) -> str:
    """What a user is told of an error."""
    if isinstance(error, ModuleNotFoundError):
        return plain_text(_missing(error))
    if not isinstance(error, OSError) or not error.strerror:
        return plain_text(str(error))
    named = "" if error.filename is None else f"{error.filename}: "
    return plain_text(named + error.strerror)


def plain_text(text: str) -> str:
    """Text in which brackets are brackets, not markup, and nothing moves the cursor."""
    from rich.markup import escape

    return escape(printable(text))


def printable(text: str) -> str:
    """Text of a file or a stream without characters that control a terminal; lines stay lines."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def _missing(error: ModuleNotFoundError) -> str:
    return (
        f"this command needs the package {error.name}, which is not installed; install what "
        "training needs: pip install 'realm-lfp[train]'"
    )


def figure(value: float) -> str:
    """A score in three digits."""
    return "undefined" if value != value else f"{value:.3f}"


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something goes on that has no steps to count, where there is a terminal."""
    with console.status(plain_text(text)):
        yield


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Keep stdout for the JSON object: whatever else is printed meanwhile goes to stderr."""
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        yield


def answer(
    as_json: bool, values: dict[str, Any], lines: Sequence[str], tables: Sequence[Table] = ()
) -> None:
    """Give the answer of a command: its tables and lines, or its values as one JSON object.

    A number that is undefined or infinite is null in JSON.
    """
    if as_json:
        typer.echo(json.dumps(_jsonable(values), indent=2, allow_nan=False))
        return
    for table in tables:
        Console().print(table)
    for line in lines:
        typer.echo(printable(line))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


class Bars:
    """Progress bars of trainings: loss, throughput and time left."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    @property
    def progress(self) -> Progress:
        """Where stages report to."""
        from realm.progress import Progress

        return Progress(self._say, self._training)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)

    def _training(self, title: str, steps: int) -> Any:
        self._bars.start()  # now: preparation shows a bar of its own
        task = self._bars.add_task(title, total=steps, figures="")
        shown: dict[str, str] = {}
        begun, first = time.perf_counter(), [None]

        def report(step: int, figures: dict[str, float]) -> None:
            if first[0] is None:
                first[0] = step  # type: ignore[call-overload]
            rate = (step - (first[0] or 0)) / max(1e-9, time.perf_counter() - begun)
            if "loss" in figures:
                shown["loss"] = f"loss {figures['loss']:.3f}"
            if "r2" in figures:
                shown["r2"] = f"R² {figures['r2']:.3f}"
            text = " ".join([*shown.values(), f"{rate:.1f} steps/s"])
            self._bars.update(task, completed=step, figures=text)

        return report
