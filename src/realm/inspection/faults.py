"""The checks: each looks for one fault and says what was expected, what arrived and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from realm.data.splits import GAP_S, TENTHS
from realm.inspection.content import BehaviorContent, Gap
from realm.inspection.lines import find_lines, true_ratio
from realm.inspection.odd_channels import FLAT, odd_channels, stepping
from realm.inspection.statistics import Statistics
from realm.recordings.fault import FaultName
from realm.recordings.recording import Recording

SHORTEST_WINDOW_S = 1.0
LARGEST_V = 0.01  # robust standard deviation: intracranial potentials stay far below
SMALLEST_V = 1e-8
SLOWEST_HZ, FASTEST_HZ = 10.0, 2e5  # of samples: beyond these their unit of time is in doubt
# These are masked: the recording is usable as it is.
MASKED: tuple[FaultName, ...] = ("nan_data", "flat_channel", "gap")


class Fault(NamedTuple):
    """Something wrong.

    Attributes:
        fault: its name.
        text: what was expected, what arrived, what to do.
        usable: the recording can be used as it is: what is wrong is masked.
        of_behavior: only behavior is concerned: the samples can be used without it.
    """

    fault: str
    text: str
    usable: bool
    of_behavior: bool = False


class Evidence(NamedTuple):
    """What the checks look at."""

    recording: Recording
    statistics: Statistics
    gaps: list[Gap]
    behaviors: list[BehaviorContent]
    chosen: BehaviorContent | None


def shortest_s() -> float:
    """Shortest recording whose every split holds a window."""
    windows = {split: SHORTEST_WINDOW_S * 10 / tenths for split, tenths in TENTHS.items()}
    windows["validation"] += 2 * GAP_S * 10 / TENTHS["validation"]
    return max(windows.values())


def transposed(recording: Recording) -> list[Fault]:
    """More channels than samples."""
    stored = int(recording.signal.grid.runs[:, 2].sum())
    if recording.n_channels <= stored:
        return []
    return [
        _fault(
            "transposed",
            f"expected more samples than channels, got {stored} samples of {recording.n_channels} "
            "channels; time and channels are swapped, transpose the data",
        )
    ]


def find_faults(evidence: Evidence) -> list[Fault]:
    """Every fault of an open recording whose axes and unit of time are right."""
    doubt = evidence.recording.signal.grid.doubt
    doubted = [_fault("irregular_time", doubt)] if doubt else []
    return doubted + [found for check in CHECKS for found in check(evidence)]


def _too_short(evidence: Evidence) -> list[Fault]:
    recording = evidence.recording
    duration = recording.n_samples / recording.sampling_rate_hz
    if duration >= shortest_s():
        return []
    return [
        _fault(
            "too_short",
            f"expected {shortest_s():g} s or more, so that training, validation and test hold a "
            f"window each, got {duration:.1f} s; record longer or leave this session out",
        )
    ]


def _missing(evidence: Evidence) -> list[Fault]:
    shares = evidence.statistics.missing
    bad = np.flatnonzero(shares > 0)
    if not bad.size:
        return []
    first = evidence.statistics.first_missing_s
    if (shares == 1).all():
        text = "expected numbers, got NaN or infinity throughout; export the recording again"
        return [Fault("nan_data", text, usable=False)]
    return [
        _fault(
            "nan_data",
            f"expected numbers, got NaN or infinity in {_channels(evidence, bad)}, "
            f"{_percent(shares[bad].max())} of the worst, first at {first:.3f} s; they are "
            "replaced by the last good value and flagged, export the data again if they should "
            "not be there",
        )
    ]


def _flat(evidence: Evidence) -> list[Fault]:
    flagged = np.array(evidence.recording.bad_channels)
    missing = evidence.statistics.missing
    flat = (evidence.statistics.constant / np.maximum(1 - missing, 1e-9) >= FLAT) & (missing < 1)
    flat &= ~stepping(evidence.statistics)
    bad = np.flatnonzero(flat & ~flagged)
    if not bad.size:
        return []
    if (flat | flagged | (missing == 1)).all():
        what = _channels(evidence, bad)
        text = f"expected a signal, but no channel has one: {what} never change; export it again"
        return [Fault("flat_channel", text, usable=False)]
    return [
        _fault(
            "flat_channel",
            f"expected a signal, but {_channels(evidence, bad)} never change; they are masked, "
            "flag them as bad in the file or correct the export",
        )
    ]


def _unit(evidence: Evidence) -> list[Fault]:
    scales = evidence.statistics.scale_v[~np.array(evidence.recording.bad_channels)]
    scales = scales[np.isfinite(scales) & (scales > 0)]
    typical = float(np.median(scales)) if scales.size else 1e-4
    if SMALLEST_V <= typical <= LARGEST_V:
        return []
    what = "stored as if they were volts" if typical > LARGEST_V else "scaled down twice"
    return [
        _fault(
            "unit",
            f"expected potentials of about 1e-6 to 1e-3 V, got a standard deviation of "
            f"{typical:.3g} V; these are probably microvolts, millivolts or counts {what}, correct "
            "the unit or the conversion (from microvolts: 1e-6)",
        )
    ]


def _gap(evidence: Evidence) -> list[Fault]:
    gaps = evidence.gaps
    if not gaps:
        return []
    total = sum(gap.length_s for gap in gaps)
    return [
        _fault(
            "gap",
            f"expected samples without a pause, got {len(gaps)} gap{'s' * (len(gaps) > 1)} of "
            f"{total:.3f} s together, the first of {gaps[0].length_s:.3f} s at {gaps[0].at_s:.3f} "
            "s; they are masked, check that the recording was really paused there",
        )
    ]


def _odd(evidence: Evidence) -> list[Fault]:
    """A few channels look like no electrode beside the others."""
    recording = evidence.recording
    found = odd_channels(evidence.statistics, np.array(recording.bad_channels))
    if not found:
        return []
    said = "; ".join(
        f"{_channels(evidence, np.array(which))} {how}" for how, which in found.items()
    )
    every = sorted(i for which in found.values() for i in which)
    named = ", ".join(f'"{recording.channel_names[i]}"' for i in every)
    return [
        _fault(
            "odd_channel",
            f"expected electrodes that look alike, got {said}; where this is a joystick, a trigger "
            f"or another sensor, write channels.leave_out = [{named}] into a recording.toml beside "
            "the file, or make it behavior there; where it is a broken electrode, flag it as bad",
        )
    ]


def time_unit(recording: Recording) -> list[Fault]:
    """The samples come at a rate that no recording of potentials has."""
    rate = recording.sampling_rate_hz
    if SLOWEST_HZ <= rate <= FASTEST_HZ:
        return []
    if rate > FASTEST_HZ:
        guess = 'seconds read as milliseconds; set time_unit = "s" in the description'
    elif abs(rate - 1) < 1e-6:
        guess = "numbers of samples and not seconds; state the rate in place of the times"
    elif rate * 1e3 >= SLOWEST_HZ:
        guess = (
            f"milliseconds (then {rate * 1e3:g} Hz is the rate); divide the times by 1000, or set "
            'time_unit = "ms" in the description; a rate in kHz looks alike, state it in Hz'
        )
    else:
        guess = (
            f"microseconds (then {rate * 1e6:g} Hz is the rate); divide the times by 1e6, or set "
            'time_unit = "us" in the description'
        )
    return [
        _fault(
            "time_unit",
            f"expected samples at {SLOWEST_HZ:g} Hz or more, with times in seconds, got {rate:g} "
            f"Hz: this looks like {guess}",
        )
    ]


def _wrong_rate(evidence: Evidence) -> list[Fault]:
    recording, statistics = evidence.recording, evidence.statistics
    lines = find_lines(statistics.frequencies_hz, statistics.power_db)
    stated = recording.sampling_rate_hz
    found = true_ratio(lines, stated, span_ratio(recording, evidence.behaviors))
    if found is None:
        return []
    ratio, line = found
    return [
        _fault(
            "wrong_rate",
            f"expected line noise at 50 or 60 Hz, got a sharp line at {line.hz:.1f} Hz; the "
            f"true rate is probably {stated * ratio:.6g} Hz and not {stated:g} Hz, correct the "
            "rate in the file",
        )
    ]


def span_ratio(recording: Recording, behaviors: list[BehaviorContent]) -> float | None:
    """How long the samples last over how long the longest behavior does; None without behavior."""
    spans = [
        b.stop_s - b.start_s
        for b in behaviors
        if b.fault in ("", "behavior_clock") and b.stop_s > b.start_s
    ]
    if not spans:
        return None
    return recording.n_samples / recording.sampling_rate_hz / max(spans)


def _behavior(evidence: Evidence) -> list[Fault]:
    """The behavior that would be decoded cannot be, for a reason with a name."""
    chosen = evidence.chosen
    if chosen is None or not chosen.fault:
        return []
    if chosen.fault == "behavior_clock" and _wrong_rate(evidence):
        return []  # one mistake: that of the samples
    return [Fault(chosen.fault, chosen.error, usable=False, of_behavior=True)]


def _no_overlap(evidence: Evidence) -> list[Fault]:
    """The behavior that would be decoded is unknown while the decoder is trained."""
    chosen, recording = evidence.chosen, evidence.recording
    begin = recording.start_s
    end = begin + recording.n_samples / recording.sampling_rate_hz * TENTHS["train"] / 10
    if chosen is None or chosen.error or (chosen.start_s < end and chosen.stop_s > begin):
        return []
    text = (
        f"expected behavior {chosen.path} in the first 70% of the samples ({begin:.1f} to "
        f"{end:.1f} s), but it is known from {chosen.start_s:.1f} to {chosen.stop_s:.1f} s; bring "
        "both onto one clock"
    )
    return [Fault("no_overlap", text, usable=False, of_behavior=True)]


CHECKS: tuple[Callable[[Evidence], list[Fault]], ...] = (
    _too_short,
    _missing,
    _flat,
    _odd,
    _unit,
    _gap,
    _wrong_rate,
    _behavior,
    _no_overlap,
)


def _fault(name: FaultName, text: str) -> Fault:
    return Fault(name, text, name in MASKED)


def _channels(evidence: Evidence, bad: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> str:
    names = [evidence.recording.channel_names[i] for i in bad.tolist()]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    word = "channel" if len(names) == 1 else f"{len(names)} channels"
    return f"{word} {', '.join(names[:4])}{more}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"
