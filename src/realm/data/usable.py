"""Whether behavior can be decoded from a recording: its clock, and whether it says anything.

`prepare` refuses what is found here, and `inspect` calls it a fault, so that a session that cannot
be decoded stops before training.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import Recording, TimeSeries

SLOW_HZ, FAST_HZ = 5.0, 5000.0  # of behavior: beyond these its unit of time is in doubt
OFTEN = 20.0  # times as long or as short as the samples: its unit of time is in doubt
MILLI, MICRO = 1e3, 1e6
STATES_START = ("_physio", "_stim")  # tables of BIDS, whose JSON must say when they begin
SHIFT_S = 1.0  # behavior as long as the samples that begins this much before or after them
SAME_LENGTH = 0.01
SAME_START_S = 0.05
SPEED = 0.002  # by which clocks may differ
FASTEST = 16.0
WHOLE_RATE, STATED_RATE = 2e-4, 2e-5  # how near a whole number of Hz counted and stated rates lie
TURNS = {
    2 * np.pi: ("rad", "radian", "radians"),
    360.0: ("deg", "degree", "degrees", "\u00b0"),
}  # one turn, by its units
UNSTATED = ("", "arbitrary", "n/a", "a.u.", "unknown")
ANGLE_WORDS = ("angle", "heading", "direction", "phase", "theta", "orientation", "yaw", "compass")
JUMP = 0.8  # of a turn


def check_behavior(recording: Recording, path: str, series: TimeSeries) -> None:
    """Refuse behavior that cannot be decoded from this recording.

    Args:
        recording: that it belongs to.
        path: of the behavior.
        series: what `recording.behavior(path)` gave.

    Raises:
        RecordingFaultError: its times are in another unit, begin or run otherwise than the samples,
            or its values never change or jump between the ends of a turn.
    """
    for check in CHECKS:
        check(recording, path, series)


def _time_unit(recording: Recording, path: str, series: TimeSeries) -> None:
    times = series.timestamps_s
    length_s, span_s = _length_s(recording), float(times[-1] - times[0])
    if len(times) < 10 or span_s <= 0:
        return
    step_s, counted_hz = span_s / (len(times) - 1), len(times) / length_s
    slow = span_s > OFTEN * length_s and 1 / step_s < SLOW_HZ <= counted_hz
    fast = span_s * OFTEN < length_s and 1 / step_s > FAST_HZ >= counted_hz
    if not (slow or fast):
        return
    guess = _guess(span_s / length_s, step_s, recording.sampling_rate_hz)
    raise RecordingFaultError(
        "time_unit",
        f"{recording.path}: expected times of behavior {path} in seconds, but they last "
        f"{span_s:.6g} s while the samples last {length_s:.6g} s: this looks like {guess}",
    )


def _guess(ratio: float, step: float, rate_hz: float) -> str:
    """The unit of time that a ratio of lengths says."""
    if abs(step - 1) < 1e-6:
        return "numbers of rows; state the rate in place of the times"
    nearest = min(
        (MILLI, MICRO, rate_hz, 1 / MILLI, 1 / MICRO), key=lambda f: abs(np.log(f / ratio))
    )
    units = {
        MILLI: 'milliseconds; divide them by 1000, or set time_unit = "ms" in the description',
        MICRO: 'microseconds; divide them by 1e6, or set time_unit = "us" in the description',
        1 / MILLI: 'seconds read as milliseconds; set time_unit = "s" in the description',
        1 / MICRO: 'seconds read as microseconds; set time_unit = "s" in the description',
    }
    return units.get(nearest, f"numbers of samples; divide them by {rate_hz:g}")


def _shifted(recording: Recording, path: str, series: TimeSeries) -> None:
    begin, length_s = recording.start_s, _length_s(recording)
    first, last, lasting_s = _span(series)
    late = first - begin
    same = abs(lasting_s - length_s) <= SAME_LENGTH * length_s
    stated = path.endswith(STATES_START)
    if not same or stated or abs(late) <= SHIFT_S or abs(late) >= length_s:
        return
    word = "after" if late > 0 else "before"
    raise RecordingFaultError(
        "behavior_clock",
        f"{recording.path}: expected behavior {path} on the clock of the samples, but it lasts as "
        f"long as they do ({length_s:.1f} s) and begins {abs(late):.3f} s {word} them ({first:.3f} "
        f"to {last:.3f} s); this looks like two clocks: add {-late:.3f} s to its times, or set "
        f"offset_s = {-late:.3f} in the description",
    )


def _speed(recording: Recording, path: str, series: TimeSeries) -> None:
    """Behavior that begins with the samples and holds as many values as would fill them."""
    length_s, n = _length_s(recording), len(series.timestamps_s)
    first, _, lasting_s = _span(series)
    if n < 100:
        return
    stated_hz, counted_hz = n / lasting_s, n / length_s
    speed = lasting_s / length_s
    together = abs(first - recording.start_s) <= max(SAME_START_S, 2 / stated_hz)
    if not together or abs(speed - 1) <= SPEED or not 1 / FASTEST < speed < FASTEST:
        return
    stored = int(recording.signal.grid.runs[:, 2].sum())
    if recording.n_samples - stored > abs(lasting_s - length_s) * recording.sampling_rate_hz / 2:
        return  # gaps in the samples explain it
    each = max(1, round(stored / n))
    divided = abs(stored / each - n) <= 1 and 300 * each < n
    whole = _is_whole(counted_hz, max(WHOLE_RATE, 1.5 / n)) and not _is_whole(
        stated_hz, STATED_RATE
    )
    if not (divided or whole):
        return
    raise RecordingFaultError(
        "behavior_clock",
        f"{recording.path}: expected behavior {path} to last as long as the samples "
        f"({length_s:.3f} s), but its {n} values last {lasting_s:.3f} s at {stated_hz:.6g} Hz, and "
        f"at {counted_hz:.6g} Hz they would fit exactly; one of the two clocks runs at another "
        "speed: correct the rate or the times of behavior, or the rate of the samples",
    )


def _is_whole(rate_hz: float, tolerance: float) -> bool:
    return rate_hz > 1 and abs(rate_hz - round(rate_hz)) <= tolerance * rate_hz


def _constant(recording: Recording, path: str, series: TimeSeries) -> None:
    if (np.nanmax(series.values, axis=0) > np.nanmin(series.values, axis=0)).any():
        return
    raise RecordingFaultError("constant_behavior", never_changes(recording, path))


def never_changes(recording: Recording, path: str) -> str:
    """What to say of behavior that stands still."""
    return (
        f"{recording.path}: expected behavior {path} to change, but it has one value throughout; "
        "choose another behavior, or leave this session out"
    )


def _wrapped(recording: Recording, path: str, series: TimeSeries) -> None:
    turn = wraps_at(series)
    stated = series.unit.strip().lower() not in UNSTATED
    if not turn or not (stated or any(word in path.lower() for word in ANGLE_WORDS)):
        return
    raise RecordingFaultError(
        "wrapped_angle",
        f"{recording.path}: expected behavior {path} without jumps, but it is an angle that wraps "
        f"at {turn:.4g}: a decoder would be trained on the jumps; store its sine and its cosine as "
        "two columns, or unwrap it",
    )


def wraps_at(series: TimeSeries) -> float:
    """The period of an angle that wraps in any column: of one turn in its unit; 0 without one.

    It wraps where it fills one turn and some steps, but few, are nearly as long as the turn.
    """
    unit = series.unit.strip().lower()
    stated = [turn for turn, units in TURNS.items() if unit in units]
    for turn in stated or list(TURNS) * (unit in UNSTATED):
        for column in series.values.T:
            known = column[np.isfinite(column)]
            steps = np.abs(np.diff(column))
            steps = steps[np.isfinite(steps)]
            whole = len(known) > 1 and 0.9 * turn < np.ptp(known) <= 1.01 * turn
            jumps = steps > JUMP * turn
            if whole and jumps.any() and jumps.mean() < 0.05 and (steps[~jumps] < turn / 2).all():
                return turn
    return 0.0


def _length_s(recording: Recording) -> float:
    return recording.n_samples / recording.sampling_rate_hz


def _span(series: TimeSeries) -> tuple[float, float, float]:
    """First time, last time, and how long the series lasts with its last value."""
    times = series.timestamps_s
    first, last = float(times[0]), float(times[-1])
    return first, last, (last - first) * len(times) / max(1, len(times) - 1)


CHECKS: tuple[Callable[[Recording, str, TimeSeries], None], ...] = (
    _time_unit,
    _shifted,
    _speed,
    _constant,
    _wrapped,
)
