"""What the user sees while a command works: messages, progress bars, one line for an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from realm.stages import Progress

console = Console(stderr=True)


def plain(error: BaseException) -> str:
    """What a user is told of an error."""
    from rich.markup import escape

    if not isinstance(error, OSError) or not error.strerror:
        return escape(str(error))
    named = "" if error.filename is None else f"{error.filename}: "
    return escape(named + error.strerror)


def figure(value: float) -> str:
    """A score in three digits."""
    return "undefined" if value != value else f"{value:.3f}"


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
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), TimeRemainingColumn(compact=True),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    @property
    def progress(self) -> Progress:
        """Where stages report to."""
        from realm.stages import Progress

        return Progress(self._say, self._training)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)

    def _training(self, title: str, steps: int) -> Any:
        self._bars.start()  # now: preparation shows a bar of its own
        task = self._bars.add_task(title, total=steps, figures="")
        self._shown: dict[str, str] = {}
        begun, first = time.perf_counter(), [None]

        def report(step: int, figures: dict[str, float]) -> None:
            if first[0] is None:
                first[0] = step  # type: ignore[call-overload]
            rate = (step - (first[0] or 0)) / max(1e-9, time.perf_counter() - begun)
            if "loss" in figures:
                self._shown["loss"] = f"loss {figures['loss']:.3f}"
            if "r2" in figures:
                self._shown["r2"] = f"R² {figures['r2']:.3f}"
            text = " ".join([*self._shown.values(), f"{rate:.1f} steps/s"])
            self._bars.update(task, completed=step, figures=text)

        return report
