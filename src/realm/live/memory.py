"""The state of a stream, and its file: saved during decoding, restored at a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.files import write_bytes, write_json
from realm.live.clock import BinClock, BinsState
from realm.live.timeline import Timeline, TimelineState
from realm.streaming import StreamingDecoder, StreamState
from realm.streaming.state import LARGEST, check_range, from_bytes, to_bytes

SAVE_S = 1.0
ADVICE = "remove the file or name another, then decoding begins anew"
_NONE = np.empty(0, np.int64)


class LiveState(NamedTuple):
    """Everything that decides what a stream does next; never changed, only replaced."""

    stream: StreamState
    timeline: TimelineState
    bins: BinsState
    next_bin: int  # all rows before it were given
    behavior: NDArray[np.float64]  # (dims,) of the last row
    approved: int  # 1 if unit and rate of the connection were found to be right


def initial_state(decoder: StreamingDecoder, timeline: Timeline, bins: BinClock) -> LiveState:
    """The state before the first sample: the last row is neutral."""
    return LiveState(
        decoder.initial_state(),
        timeline.initial_state(),
        bins.initial_state(),
        0,
        np.array(decoder.bundle.neutral, dtype=np.float64),
        0,
    )


def save(path: Path, state: LiveState, decoder: StreamingDecoder) -> None:
    """Write the state to a file, whole or not at all."""
    write_bytes(path, to_bytes(state, decoder.bundle.sha256))


def restore(path: Path, template: LiveState, decoder: StreamingDecoder) -> LiveState:
    """The state that `save` wrote.

    Raises:
        ValueError: it is damaged, or of another bundle, precision or version.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        state = from_bytes(content, template, decoder.bundle.sha256, ADVICE)
        _check(state, decoder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return state


def _check(state: LiveState, decoder: StreamingDecoder) -> None:
    decoder.check_state(state.stream, ADVICE)
    timeline = state.timeline
    check_range(
        state._replace(timeline=timeline._replace(seen_marks=_NONE, held_mark=0)), -1, ADVICE
    )
    bins = state.bins
    whole = min(state.next_bin, bins.base, bins.heard, state.approved) >= 0
    if not whole or state.approved > 1 or {bins.heard} != decoder.samples_heard(state.stream):
        raise ValueError(
            "state: expected counts of samples and bins that agree, got others; " + ADVICE
        )


class Keeper(threading.Thread):
    """Writes state and status once a second in its own thread: decoding never waits for a disk.

    Args:
        state, status: called for what to write now; `state` may return None.
        save_state: writes a state; None to save none.
        status_path: file of the status; None to write none.
        report: is called with the status.
        failed: is called with an error of the disk; the next attempt may succeed.
    """

    def __init__(
        self,
        state: Callable[[], LiveState | None],
        status: Callable[[], dict[str, Any]],
        save_state: Callable[[LiveState], None] | None,
        status_path: Path | None,
        report: Callable[[dict[str, Any]], None],
        failed: Callable[[OSError], None],
    ) -> None:
        super().__init__(name="realm-keeper", daemon=True)
        self._state, self._status, self._save = state, status, save_state
        self._status_path, self._report, self._failed = status_path, report, failed
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write until `stop` is called."""
        while not self._stopping.wait(SAVE_S):
            self.write()

    def write(self) -> None:
        """Write now."""
        try:
            state = self._state()
            if self._save is not None and state is not None:
                self._save(state)
        except OSError as error:
            self._failed(error)
        status = self._status()
        try:
            if self._status_path is not None:
                write_json(self._status_path, status)
        except OSError as error:
            self._failed(error)
        self._report(status)

    def stop(self) -> None:
        """End, and write one last time."""
        self._stopping.set()
        self.join()
        self.write()
