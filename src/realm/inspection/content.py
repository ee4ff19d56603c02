"""What is in a recording: its neural series, its gaps and its behavior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import Recording, TimeSeries

POSITION_UNITS = ("m", "cm", "mm", "meters", "metres", "meter", "px", "pixels", "deg", "degrees")
TURNS = {
    2 * np.pi: ("rad", "radian", "radians"),
    360.0: ("deg", "degree", "degrees", "°"),
}  # one turn, by its units
UNSTATED = ("", "arbitrary", "n/a", "a.u.", "unknown")
JUMP = 0.8  # of a turn
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
        known: share of its samples that are known.
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
        if begin > end
    ]


def behavior_of(recording: Recording, path: str) -> tuple[BehaviorContent, TimeSeries | None]:
    """What one behavior series holds, and the series; or why it cannot be read."""
    try:
        series = recording.behavior(path)
    except RecordingFaultError as error:
        return BehaviorContent(path, error=str(error), fault=error.fault), None
    except ValueError as error:
        return BehaviorContent(path, error=str(error)), None
    known = np.isfinite(series.values).all(axis=1)
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
        float(known.mean()),
        wraps_at=wraps_at(series),
    )
    return content, series


def wraps_at(series: TimeSeries) -> float:
    """The period of an angle that wraps in any column: of one turn in its unit; 0 without one.

    It wraps where it fills one turn and some steps, but few, are nearly as long as the turn.
    """
    stated = [turn for turn, units in TURNS.items() if series.unit.strip().lower() in units]
    for turn in stated or list(TURNS) * (series.unit.strip().lower() in UNSTATED):
        for column in series.values.T:
            known = column[np.isfinite(column)]
            steps = np.abs(np.diff(known))
            whole = len(known) > 1 and 0.9 * turn < np.ptp(known) <= 1.01 * turn
            jumps = steps > JUMP * turn
            if whole and jumps.any() and jumps.mean() < 0.05 and (steps[~jumps] < turn / 2).all():
                return turn
    return 0.0


def likely_target(behaviors: list[BehaviorContent]) -> BehaviorContent | None:
    """The series that a lab most likely wants to decode: movement in few dims, no counts."""
    usable = [b for b in behaviors if not b.error]

    def rank(behavior: BehaviorContent) -> tuple[bool, bool, bool]:
        words = ("hand", "cursor", "position", "velocity", "speed", "finger", "force")
        return (
            behavior.unit.lower() in COUNT_UNITS,
            len(behavior.names) > 3,
            not any(word in behavior.path.lower() for word in words),
        )

    return min(usable, key=rank, default=None)
