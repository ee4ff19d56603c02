"""What is in a recording: its neural series, its gaps and its behavior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.data.behavior import align
from realm.data.usable import check_behavior, wraps_at
from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import Recording, TimeSeries

POSITION_UNITS = ("m", "cm", "mm", "meters", "metres", "meter", "px", "pixels", "deg", "degrees")
MOVEMENT_WORDS = ("hand", "cursor", "position", "velocity", "speed", "finger", "force", "joystick")
BIN_MS = 20.0  # of the bins that say how much behavior is known
COUNT_UNITS = ("count", "counts", "spikes")


class Gap(NamedTuple):
    """Missing samples: when they begin on the clock of the file, and for how long."""

    at_s: float
    length_s: float


class BehaviorContent(NamedTuple):
    """One behavior series; `error` says why it cannot be used, with the name of the fault if any.

    Attributes:
        path, unit, names: of the series.
        rate_hz: median rate.
        start_s, stop_s: first and last known time.
        known: share of the bins of the recording that it is known for.
        wraps_at: the period of an angle that jumps from one end of its range to the other; 0 where
            nothing does.
    """

    path: str
    unit: str = ""
    names: tuple[str, ...] = ()
    rate_hz: float = 0.0
    start_s: float = 0.0
    stop_s: float = 0.0
    known: float = 0.0
    error: str = ""
    fault: str = ""
    wraps_at: float = 0.0


def gaps_of(recording: Recording) -> list[Gap]:
    """The gaps between the runs of samples."""
    grid = recording.signal.grid
    ends = grid.runs[:-1, 0] + grid.runs[:-1, 2]
    return [
        Gap(grid.start_s + end / grid.rate_hz, (begin - end) / grid.rate_hz)
        for end, begin in zip(ends.tolist(), grid.runs[1:, 0].tolist(), strict=True)
        if begin > end and not _is_excluded(recording, end, begin)
    ]


def _is_excluded(recording: Recording, first: int, stop: int) -> bool:
    """Whether the file itself declares the samples [first, stop) of the grid invalid."""
    grid = recording.signal.grid
    middle = grid.start_s + (first + stop) / 2 / grid.rate_hz
    return any(begin <= middle < end for begin, end in recording.signal.excluded)


def behavior_of(recording: Recording, path: str) -> tuple[BehaviorContent, TimeSeries | None]:
    """What one behavior series holds, and the series; or why it cannot be read."""
    try:
        series = recording.behavior(path)
    except RecordingFaultError as error:
        return BehaviorContent(path, error=str(error), fault=error.fault), None
    except ValueError as error:
        return BehaviorContent(path, error=str(error)), None
    known: NDArray[np.bool_] = np.asarray(np.isfinite(series.values).all(axis=1))
    times = series.timestamps_s[known] if known.any() else series.timestamps_s
    steps = np.diff(series.timestamps_s)
    rate = 1 / float(np.median(steps)) if len(steps) else 0.0
    content = BehaviorContent(
        path,
        series.unit,
        series.names,
        rate,
        float(times[0]),
        float(times[-1]),
        _known_bins(recording, series, known),
        wraps_at=wraps_at(series),
    )
    try:
        check_behavior(recording, path, series)
    except RecordingFaultError as error:
        return content._replace(error=str(error), fault=error.fault), None
    return content, series


def _known_bins(recording: Recording, series: TimeSeries, known: NDArray[np.bool_]) -> float:
    """Share of the bins that behavior is known for."""
    n_bins = int(recording.n_samples / recording.sampling_rate_hz * 1000 / BIN_MS)
    one = series._replace(values=np.where(known, 0.0, np.nan)[:, None], names=("",))
    aligned = align(one, "as_stored", 0.0, BIN_MS, max(1, n_bins), recording.start_s)
    return float(aligned.mask.mean())


def likely_target(behaviors: list[BehaviorContent]) -> BehaviorContent | None:
    """The series that a lab most likely wants to decode: movement in few dims, no counts.

    One that has a fault can be meant too; where two are as likely, it is not.
    """
    meant = [b for b in behaviors if b.fault or not b.error]

    def rank(behavior: BehaviorContent) -> tuple[bool, bool, bool, bool]:
        path = behavior.path.lower()
        return (
            behavior.unit.lower() in COUNT_UNITS,
            len(behavior.names) > 3,
            not any(word in path for word in MOVEMENT_WORDS),
            bool(behavior.fault),
        )

    return min(meant, key=rank, default=None)
