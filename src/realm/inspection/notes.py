"""What is worth knowing about a recording that is no fault."""

from __future__ import annotations

import numpy as np

from realm.inspection.faults import LARGEST_V, Evidence, span_ratio
from realm.inspection.lag import Lag
from realm.inspection.lines import find_lines, is_harmonic, mains_of
from realm.inspection.odd_channels import FLAT

QUIET = 0.05  # of the typical scale: almost no signal
STUCK_S = 1.0
LARGE_V = 2e-3
SPAN_TOLERANCE = 0.1


def find_notes(evidence: Evidence) -> list[str]:
    """One sentence for each thing worth knowing."""
    return [
        *_partly_read(evidence),
        *_quiet(evidence),
        *_stuck(evidence),
        *_flagged(evidence),
        *_excluded(evidence),
        *_line(evidence),
        *_behavior(evidence),
        *_units(evidence),
    ]


def lag_notes(lag: Lag | None) -> list[str]:
    """Why there is no lag, and what to check."""
    if lag is None or lag.lag_ms is not None:
        return []
    if lag.other_ms is not None:
        return [
            "two lags between features and behavior are as likely: behavior that repeats looks "
            "alike one period later; a longer recording may tell"
        ]
    return [
        "no clear lag between features and behavior: check that both are on one clock (offset_s), "
        "that the target is what the subject did, and that the channels are electrodes; "
        "weak signals have none either"
    ]


def _partly_read(evidence: Evidence) -> list[str]:
    seen = evidence.statistics.seen
    return [] if seen > 0.999 else [f"{100 * seen:.0f}% of the samples were looked at"]


def _quiet(evidence: Evidence) -> list[str]:
    scale = evidence.statistics.scale_v
    alive = evidence.statistics.constant < FLAT
    typical = np.nanmedian(scale) if np.isfinite(scale).any() else 0.0
    quiet = np.flatnonzero(alive & (scale < QUIET * typical)).tolist()
    if not quiet:
        return []
    names = ", ".join(evidence.recording.channel_names[i] for i in quiet[:6])
    verb = "channel has" if len(quiet) == 1 else "channels have"
    return [f"{len(quiet)} {verb} almost no signal and will be masked: {names}"]


def _stuck(evidence: Evidence) -> list[str]:
    statistics = evidence.statistics
    stuck = np.where(statistics.constant < FLAT, statistics.stuck_s, 0.0)
    worst = int(np.argmax(stuck))
    if stuck[worst] < STUCK_S:
        return []
    n = int((stuck >= STUCK_S).sum())
    begin = statistics.stuck_at_s[worst]
    verb = "does" if n == 1 else "do"
    return [
        f"{n} of {len(stuck)} channels {verb} not change for up to {stuck[worst]:.1f} s, the "
        f"longest time from {begin:.1f} to {begin + stuck[worst]:.1f} s (a blocked amplifier, or "
        "padding); this time is masked"
    ]


def _flagged(evidence: Evidence) -> list[str]:
    flagged = sum(evidence.recording.bad_channels)
    verb = "channel is" if flagged == 1 else "channels are"
    return [f"{flagged} {verb} flagged as bad in the file"] if flagged else []


def _excluded(evidence: Evidence) -> list[str]:
    spans = evidence.recording.signal.excluded
    if not spans:
        return []
    total = sum(stop - start for start, stop in spans)
    return [
        f"{len(spans)} span{'s' * (len(spans) > 1)} of {total:.1f} s together, in "
        "intervals/invalid_times of the file, are left out"
    ]


def _line(evidence: Evidence) -> list[str]:
    statistics, rate = evidence.statistics, evidence.recording.sampling_rate_hz
    lines = find_lines(statistics.frequencies_hz, statistics.power_db)
    odd = [line for line in lines if not is_harmonic(line.hz, rate)]
    if mains_of(lines) is not None or not lines:
        return []
    if odd:
        return [
            f"the sharp line at {odd[0].hz:.1f} Hz ({odd[0].db:.0f} dB) is not mains; if it should "
            "be mains, the sampling rate is wrong"
        ]
    return [
        f"the mains are seen at {lines[0].hz:.1f} Hz and not at 50 or 60 Hz: these were filtered "
        "out, or the sampling rate is wrong"
    ]


def _behavior(evidence: Evidence) -> list[str]:
    found = [
        f"behavior {b.path} cannot be used: {b.error}"
        for b in evidence.behaviors
        if b.error and not (b.fault and b is evidence.chosen)
    ]
    found += [
        f"behavior {b.path} is an angle that wraps at {b.wraps_at:.4g}: a decoder would fit a line "
        "through its jumps; store its sine and its cosine as two columns and decode these"
        for b in evidence.behaviors
        if b.wraps_at
    ]
    ratio = span_ratio(evidence.recording, evidence.behaviors)
    if ratio is not None and abs(ratio - 1) > SPAN_TOLERANCE:
        found.append(f"the samples last {ratio:.2f} times as long as behavior")
    return found


def _units(evidence: Evidence) -> list[str]:
    known = evidence.statistics.scale_v[np.isfinite(evidence.statistics.scale_v)]
    scale = float(np.median(known)) if known.size else 0.0
    if LARGE_V < scale <= LARGEST_V:
        return [f"potentials of {scale * 1e3:.1f} mV are large; check the gain"]
    return []
