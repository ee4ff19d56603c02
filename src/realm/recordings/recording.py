"""One session's recording, whatever file it comes from: LFP in volts on a uniform grid, behavior.

`realm.recordings.open_recording` opens every kind of file. Only the samples asked for are read, so
a recording larger than memory works where its format allows it. Gaps are NaN here; the guard of the
signal chain replaces and flags them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from realm.recordings.fault import clear_errors
from realm.recordings.grid import SampleGrid


class Identity(NamedTuple):
    """Which session a recording is.

    Attributes:
        session_id: subject and session, safe as a file name.
        subject: the subject's id; a session that states none is its own subject.
        started_at: when the recording began, without a time zone where the file states none; None
            where it does not say.
    """

    session_id: str
    subject: str
    started_at: datetime | None = None


def safe(name: str) -> str:
    """`name` with only what is safe in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "session"


def named_after_file(path: Path, started_at: datetime | None = None) -> Identity:
    """The name of the file is the session and, unless a description says more, the subject."""
    session = safe(path.stem)
    return Identity(session, session, started_at)


def joined(subject: str | None, session: str | None, stated: Identity) -> Identity:
    """What a description says, laid over what the file says; the id names the subject."""
    session_id = safe(session) if session else stated.session_id
    if subject and subject not in session_id:
        session_id = safe(f"{subject}_{session_id}")
    of_subject = subject or (session_id if session else stated.subject)
    return Identity(session_id, of_subject, stated.started_at)


def iso_time(text: str) -> datetime | None:
    """The time that `text` states in ISO 8601, None if it states none."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


class TimeSeries(NamedTuple):
    """A behavior time series.

    Attributes:
        timestamps_s: (n,) seconds on the clock of the neural samples, increasing.
        values: (n, dims) float64 in `unit`, NaN where missing.
        unit: of the values.
        names: of the dims.
    """

    timestamps_s: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """The neural samples of a recording.

    Attributes:
        path: of the series inside the file, for people and for the setting `lfp`.
        grid: when the stored samples were taken.
        channel_names, regions, bad_channels: one entry per channel.
        bits: that one stored sample of one channel takes.
        excluded: spans (start, stop) in seconds that the file itself declares invalid; the grid
            has no samples there.
        typed: the file states the type of every channel, so names do not count.
        read: (first, stop) of stored samples to volts, (stop - first, channels) float64.
    """

    path: str
    grid: SampleGrid
    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad_channels: tuple[bool, ...]
    bits: int
    read: Callable[[int, int], NDArray[np.float64]]
    typed: bool = False
    excluded: tuple[tuple[float, float], ...] = ()


class Behavior(Protocol):
    """The behavior that a file holds, by path."""

    def paths(self) -> list[str]:
        """What `read` accepts."""
        ...

    def read(self, path: str) -> TimeSeries | None:
        """The series at `path`; None if there is nothing of that name."""
        ...


class NamedBehavior:
    """Behavior series by name, each read when it is asked for.

    `files` are those that a series is read from, where they are not among those of the recording.
    """

    def __init__(
        self,
        series: Mapping[str, Callable[[], TimeSeries]],
        files: Mapping[str, tuple[Path, ...]] | None = None,
    ) -> None:
        self._series, self.files = series, files or {}

    def paths(self) -> list[str]:
        """The names."""
        return list(self._series)

    def read(self, path: str) -> TimeSeries | None:
        """The series of that name, or None."""
        found = self._series.get(path)
        return None if found is None else found()


class Recording:
    """One session's file, open for reading. Close it, or use it with `with`.

    Attributes:
        path: of the file.
        identity: which session it is.
        signal: the neural series.
        files: every file that is read for the samples and for what is known of them, `path` first.
    """

    open: ClassVar[Callable[..., Recording]]  # goes with the next release: see `open_recording`

    def __init__(
        self,
        path: Path,
        identity: Identity | tuple[str, str],
        signal: Signal,
        behavior: tuple[Behavior, ...],
        close: Callable[[], None],
        files: tuple[Path, ...] = (),
    ) -> None:
        self.path, self.signal, self.behavior_sources = path, signal, behavior
        self.identity = Identity(*identity)
        self.files = files or (path,)
        self._close = close

    def close(self) -> None:
        """Close the file."""
        self._close()

    def closed_by(self, close: Callable[[], None]) -> Self:
        """This recording; `close` is called as well when it is closed."""
        before = self._close

        def both() -> None:
            before()
            close()

        self._close = both
        return self

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def session_id(self) -> str:
        """Subject and session, safe as a file name."""
        return self.identity.session_id

    @property
    def subject(self) -> str:
        """The subject's id; a session that states none is its own subject."""
        return self.identity.subject

    @property
    def started_at(self) -> datetime | None:
        """When the recording began, None where the file does not say."""
        return self.identity.started_at

    @property
    def lfp_path(self) -> str:
        """Path of the neural series inside the file."""
        return self.signal.path

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One name per channel."""
        return self.signal.channel_names

    @property
    def regions(self) -> tuple[str, ...]:
        """Where each channel lies, empty where unknown."""
        return self.signal.regions

    @property
    def bad_channels(self) -> tuple[bool, ...]:
        """Which channels an experimenter flagged."""
        return self.signal.bad_channels

    @property
    def sampling_rate_hz(self) -> float:
        """Samples per second."""
        return self.signal.grid.rate_hz

    @property
    def n_samples(self) -> int:
        """Length of the uniform grid."""
        return self.signal.grid.n_samples

    @property
    def start_s(self) -> float:
        """Time of the first sample on the clock of the file."""
        return self.signal.grid.start_s

    @property
    def sample_bits(self) -> int:
        """Bits that one stored sample of one channel takes."""
        return self.signal.bits

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channel_names)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Samples [start, stop) in volts (or the series' own unit), NaN in gaps.

        Returns:
            (samples, channels) float64.
        """
        start, stop = max(0, start), min(stop, self.n_samples)
        pieces = list(self.signal.grid.pieces(start, stop))
        if len(pieces) == 1 and pieces[0][2] == stop - start:
            return np.require(self._stored(*pieces[0][1:]), np.float64, ["C", "W", "O"])
        out = np.full((max(0, stop - start), self.n_channels), np.nan)
        for grid, stored, count in pieces:
            out[grid - start : grid - start + count] = self._stored(stored, count)
        return out

    def _stored(self, first: int, count: int) -> NDArray[np.float64]:
        with clear_errors(self.path, f"samples {first} to {first + count} of {self.lfp_path}"):
            return self.signal.read(first, first + count)

    def blocks(self, n_samples: int) -> Iterator[NDArray[np.float64]]:
        """The whole recording in consecutive blocks of at most `n_samples` samples."""
        for start in range(0, self.n_samples, n_samples):
            yield self.read(start, start + n_samples)

    def files_with(self, behavior: str | None) -> tuple[Path, ...]:
        """Every file that the samples and this behavior are read from; their hashes are its own."""
        found = list(self.files)
        for source in self.behavior_sources:
            if behavior is not None and isinstance(source, NamedBehavior):
                found += source.files.get(behavior, ())
        return tuple(dict.fromkeys(found))

    def behavior_paths(self) -> list[str]:
        """Paths that `behavior` accepts."""
        return [path for source in self.behavior_sources for path in source.paths()]

    def behavior(self, path: str) -> TimeSeries:
        """Read the behavior series at `path`.

        Raises:
            ValueError: nothing there (the message lists what is), or it cannot be used.
        """
        for source in self.behavior_sources:
            with clear_errors(self.path, f"behavior {path}"):
                series = source.read(path)
            if series is not None:
                return series
        found = ", ".join(self.behavior_paths()) or "no time series at all"
        raise ValueError(
            f"{self.path}: expected a behavior time series at {path!r}, found none; this file "
            f"has: {found}. Set behavior to one of these paths"
        )
