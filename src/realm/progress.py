"""What a run tells while it works, also from the processes that it started."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

Report = Callable[[int, dict[str, float]], None]  # (step, figures)

EVERY_S = 0.2  # least time between two reports of a training in another process
JOIN_S = 1.0


class Progress(NamedTuple):
    """A line of text, and a reporter for a training's steps."""

    say: Callable[[str], None]
    training: Callable[[str, int], Report]  # (title, steps) -> report


def silent() -> Progress:
    """Say nothing."""
    return Progress(lambda text: None, lambda title, steps: lambda step, figures: None)


class Relay:
    """Tells here what workers tell there, as long as its `with` block lasts.

    Attributes:
        queue: to be handed to `speak_to` in each worker when it starts.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.queue: Any = multiprocessing.get_context("spawn").Queue()
        self._thread = threading.Thread(target=self._tell, name="realm-relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.queue.put(None)
        self._thread.join(JOIN_S)
        self.queue.cancel_join_thread()

    def _tell(self) -> None:
        trainings: dict[str, Report] = {}
        while (told := self.queue.get()) is not None:
            what, title, value = told
            if what == "say":
                self._progress.say(title)
            elif what == "training":
                trainings[title] = self._progress.training(title, value)
            else:
                trainings[title](*value)


def speak_to(queue: Any) -> None:
    """In a worker: where `relayed` goes from now on; None for nowhere."""
    global _queue
    _queue = queue
    if queue is not None:
        queue.cancel_join_thread()  # a worker that is ended does not wait to be heard


_queue: Any = None  # of this process, if it is a worker


def relayed() -> Progress:
    """In a worker: tell the process that started it; silent where nobody listens."""
    return silent() if _queue is None else Progress(_say, _training)


def _say(text: str) -> None:
    _queue.put(("say", text, None))


def _training(title: str, steps: int) -> Report:
    _queue.put(("training", title, steps))
    last_s = -EVERY_S

    def report(step: int, figures: dict[str, float]) -> None:
        nonlocal last_s
        if step == steps or "r2" in figures or time.monotonic() - last_s >= EVERY_S:
            last_s = time.monotonic()
            plain = {name: float(value) for name, value in figures.items()}
            _queue.put(("step", title, (step, plain)))

    return report
