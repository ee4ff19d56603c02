"""Worker processes that stop without noise.

Ctrl-C reaches every process of a terminal. An ordinary worker would print a traceback and start the
next task; these workers ignore it, and their parent ends them. A file that a worker was writing is
removed (`realm.files` writes whole files or none), and tasks that wait are not started.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from realm import systems
from realm.progress import Line, Relay, speak_to

Given = ParamSpec("Given")
Result = TypeVar("Result")


LOOK_S = 0.5  # between looks at whether the parent is there
GOODBYE_S = 5.0


class Workers(ProcessPoolExecutor):
    """A pool of new processes; an exception in its `with` block ends them at once.

    Args:
        workers: largest number of processes.
        relay: forwards their messages.
    """

    def __init__(self, workers: int, relay: Relay | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        line = None if relay is None else relay.line
        super().__init__(workers, mp_context=context, initializer=_start, initargs=(line,))

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Queue a call. Processes are started here, and inherit that Ctrl-C is ignored."""
        with _interrupts_ignored():
            return super().submit(_unless_ending, fn, *args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the tasks; after an exception, end them instead."""
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self.shutdown(wait=True, cancel_futures=kind is not None)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(line: Line | None) -> None:
    """In a worker: SIGTERM raises an exception, so that unfinished files are removed."""
    signal.signal(signal.SIGTERM, _leave)
    speak_to(line)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, but on Windows
    watch = threading.Thread(target=_end_with, args=(_parent_lives(os.getppid()),), daemon=True)
    watch.start()


def _parent_lives(parent: int) -> Callable[[], bool]:
    """Asks whether the process that started this one is there; Windows keeps its number."""
    process = multiprocessing.parent_process()
    if systems.WINDOWS and process is not None:
        return process.is_alive
    return lambda: os.getppid() == parent


def _end_with(parent_lives: Callable[[], bool]) -> None:
    """End this worker when its parent is gone, also where that was killed and could not say so."""
    while parent_lives():
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GOODBYE_S)  # for unfinished files to be removed
    os._exit(1)


def _leave(signal_number: int, frame: FrameType | None) -> Any:
    _ending.set()
    sys.exit(128 + signal_number)


_ending = threading.Event()  # in a worker that must end


def _unless_ending(
    fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Do a task, but not one that a worker received just before it must end."""
    if _ending.is_set():
        sys.exit()
    return fn(*args, **kwargs)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set this; elsewhere it stays as it is
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
