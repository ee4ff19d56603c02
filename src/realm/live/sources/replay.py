"""A recording as a source: it plays as from an amplifier, or as fast as it can."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.live.clock import now_s
from realm.live.sources import Block, Source, SourceEndedError, SourceLostError, StreamInfo
from realm.live.sources.recording_file import Piece, RecordingFile, Truth

PAUSE_PERIODS = 1.5  # a longer step between two samples starts a new block
REACH_PERIODS = 1.5  # of the true behavior; a sample further before the next row has no truth


class ReplaySource(Source):
    """Plays a recording file.

    Times are shifted so that the first sample was taken when the source was opened, and spaced as
    they were recorded, whatever the speed. A block comes when its last sample is due. Samples are
    counted where none is missing.

    The true behavior of a sample is what a decoder should give for its bin: the first row at a
    later time, NaN if there is none near.

    Args:
        path: of a recording file, see `recording_file.py`.
        speed: 1 = as recorded, infinite = as fast as it is read.
        block_ms: how much of the recording comes at once.

    Attributes:
        can_wait: see `Source`; True for every speed but 1.

    Raises:
        ValueError: the speed or the length of a block cannot be.
    """

    def __init__(self, path: Path | str, speed: float = 1.0, block_ms: float = 10.0) -> None:
        if not speed > 0 or not (np.isfinite(block_ms) and block_ms > 0):
            raise ValueError(
                f"replay: expected a speed and a block_ms above zero, got {speed!r} and "
                f"{block_ms!r}; correct them"
            )
        self.path, self.speed, self.block_ms = Path(path), float(speed), float(block_ms)
        self.can_wait = self.speed != 1.0
        self._recording: RecordingFile | None = None

    def open(self) -> StreamInfo:
        """Open the recording, verify it and go to its beginning.

        Raises:
            ValueError: it cannot be replayed; the message says what to do.
        """
        self.close()
        if self.path.suffix == ".nwb":
            raise ValueError(
                f"{self.path}: expected a recording file, got NWB, which a rig does not read; "
                f"turn it into one first: realm export {self.path} --model BUNDLE --out "
                f"{self.path.with_suffix('.safetensors')}"
            )
        recording = self._recording = RecordingFile.open(self.path)
        info = recording.info
        self._row = 0
        self._rows = max(1, round(info.sampling_rate_hz * self.block_ms / 1000))
        self._reach_s = reach_of(recording.truth)
        self._start_s = now_s()
        self._shift_s = self._start_s - float(recording.read(0, 1).times_s[0])
        return StreamInfo(info.session_id, info.channel_names, info.sampling_rate_hz, info.unit)

    def read(self, timeout_s: float) -> Block | None:
        """The next block, when it is due.

        Raises:
            SourceEndedError: the recording has come to its end.
            SourceLostError: the file cannot be read any more.
        """
        recording = self._recording
        if recording is None:
            raise SourceLostError(f"{self.path}: expected an open recording; open it first")
        piece = self._next(recording)
        played_s = float(piece.times_s[-1] + self._shift_s) - self._start_s
        early_s = self._start_s + played_s / self.speed - now_s()
        if early_s > 0:
            sleep(min(early_s, max(timeout_s, 0.0)))
            if timeout_s < early_s:
                return None
        first = self._row
        self._row += len(piece.times_s)
        truth = recording.truth
        return Block(
            piece.samples,
            piece.times_s + self._shift_s,
            first if recording.uniform else None,
            None if truth is None else truth_at(truth, piece, self._reach_s),
        )

    def close(self) -> None:
        """Close the recording; does nothing when closed."""
        if self._recording is not None:
            self._recording.close()
        self._recording = None

    def _next(self, recording: RecordingFile) -> Piece:
        """The next samples, up to a pause."""
        try:
            piece = recording.read(self._row, self._row + self._rows)
        except OSError as error:
            raise SourceLostError(str(error)) from error
        if not len(piece.times_s):
            raise SourceEndedError(f"{self.path}: {self._row} samples, the recording has ended")
        steps = np.diff(piece.times_s) * recording.info.sampling_rate_hz
        pauses = np.flatnonzero(steps > PAUSE_PERIODS)
        stop = int(pauses[0]) + 1 if len(pauses) else len(piece.times_s)
        return Piece(piece.samples[:stop], piece.times_s[:stop])


def truth_at(truth: Truth, piece: Piece, reach_s: float) -> NDArray[Any]:
    """The true behavior for each sample of a piece, (samples, dims), NaN = unknown."""
    # A sample that lies on the end of a bin, to rounding, belongs to the bin after it.
    after = piece.times_s + 4 * np.spacing(np.abs(piece.times_s))
    row = np.searchsorted(truth.times_s, after, side="right")
    found = np.minimum(row, len(truth.times_s) - 1)
    values: NDArray[Any] = truth.values[found]
    values[(row > found) | (truth.times_s[found] - piece.times_s > reach_s)] = np.nan
    return values


def reach_of(truth: Truth | None) -> float:
    """The longest time from a sample to its row of true behavior, in seconds."""
    if truth is None or len(truth.times_s) < 2:
        return np.inf
    return REACH_PERIODS * float(np.median(np.diff(truth.times_s)))
