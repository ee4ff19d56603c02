"""Progress of a run: lines of text and training steps, also those of worker processes."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

Report = Callable[[int, dict[str, float]], None]  # (step, figures)

EVERY_S = 0.2  # least time between two reports of a training in a worker
JOIN_S = 1.0
POLL_S = 0.1
Line = tuple[Any, Any]  # the sending end of a pipe, and a lock: one worker sends at a time


class Progress(NamedTuple):
    """Where progress goes: `say` takes a line of text, `training` gives a report for its steps."""

    say: Callable[[str], None]
    training: Callable[[str, int], Report]  # (title, steps) -> report


def silent() -> Progress:
    """Progress that goes nowhere."""
    return Progress(lambda text: None, lambda title, steps: lambda step, figures: None)


class Relay:
    """Forwards worker messages to the parent, as long as its `with` block lasts.

    A worker sends a message before its task returns, so no message of a finished task is lost.

    Attributes:
        line: given to `speak_to` in each worker when it starts.
    """

    def __init__(self, progress: Progress) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress = progress
        self._receiving, sending = context.Pipe(duplex=False)
        self.line: Line = sending, context.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._forward, name="realm-relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(JOIN_S)  # a worker that was killed may have left half a message

    def _forward(self) -> None:
        trainings: dict[str, Report] = {}
        while True:
            if not self._receiving.poll(POLL_S):
                if self._over.is_set():
                    return
                continue
            what, title, value = self._receiving.recv()
            if what == "say":
                self._progress.say(title)
            elif what == "training":
                trainings[title] = self._progress.training(title, value)
            else:
                trainings[title](*value)


def speak_to(line: Line | None) -> None:
    """In a worker: set where the messages of `relayed` go from now on; None for nowhere."""
    global _line
    _line = line


_line: Line | None = None  # of this process, if it is a worker


def relayed() -> Progress:
    """In a worker: progress that is sent to the parent; silent if no parent listens."""
    return silent() if _line is None else Progress(_say, _training)


def _send(what: str, title: str, value: Any) -> None:
    if _line is not None:
        sending, one_at_a_time = _line
        with one_at_a_time:
            sending.send((what, title, value))


def _say(text: str) -> None:
    _send("say", text, None)


def _training(title: str, steps: int) -> Report:
    _send("training", title, steps)
    last_s = -EVERY_S

    def report(step: int, figures: dict[str, float]) -> None:
        nonlocal last_s
        if step == steps or "r2" in figures or time.monotonic() - last_s >= EVERY_S:
            last_s = time.monotonic()
            plain = {name: float(value) for name, value in figures.items()}
            _send("step", title, (step, plain))

    return report
