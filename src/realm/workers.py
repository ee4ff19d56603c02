"""Processes that work side by side and stop quietly.

Ctrl-C reaches every process of a terminal. A worker left to itself would print a traceback and
begin with what waits; these ignore it. The process that started them ends them: what they were
writing is undone (`realm.files` writes whole files or none), what waits is not begun.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from realm.progress import Line, Relay, speak_to

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Workers(ProcessPoolExecutor):
    """A pool of fresh processes; leaving its `with` block by an exception ends them at once.

    Args:
        workers: processes at most.
        relay: tells what they tell.
    """

    def __init__(self, workers: int, relay: Relay | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        line = None if relay is None else relay.line
        super().__init__(workers, mp_context=context, initializer=_begin, initargs=(line,))

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Queue a call; processes are started here, and inherit that Ctrl-C is ignored."""
        with _interrupts_ignored():
            return super().submit(_unless_told, fn, *args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the work; after an exception, end it instead."""
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self.shutdown(wait=True, cancel_futures=kind is not None)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(line: Line | None) -> None:
    """In a worker: being terminated is an exception, so that unfinished files are removed."""
    signal.signal(signal.SIGTERM, _leave)
    speak_to(line)


def _leave(signal_number: int, frame: FrameType | None) -> Any:
    _told.set()
    sys.exit(128 + signal_number)


_told = threading.Event()  # in a worker: it is to end


def _unless_told(
    fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Do a task; not one that was already handed to a worker which is to end."""
    if _told.is_set():
        sys.exit()
    return fn(*args, **kwargs)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say; then it is as the program was started
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
