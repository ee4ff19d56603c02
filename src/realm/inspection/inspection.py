"""Inspecting one recording from end to end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realm.inspection.content import BehaviorContent, Gap, behavior_of, gaps_of, likely_target
from realm.inspection.faults import Evidence, Fault, find_faults, time_unit, transposed
from realm.inspection.lines import Line, find_lines
from realm.inspection.notes import find_notes, lag_notes
from realm.inspection.statistics import Statistics, statistics_of
from realm.inspection.suggestion import Suggestion, suggest
from realm.recordings.fault import RecordingFaultError
from realm.recordings.open import format_of, open_recording
from realm.recordings.recording import Recording, TimeSeries


@dataclass(frozen=True)
class Neural:
    """What the neural series is: numbers for people, not for computing."""

    path: str
    channels: int
    regions: tuple[str, ...]
    sampling_rate_hz: float
    start_s: float
    duration_s: float
    bits: int


@dataclass(frozen=True)
class Samples:
    """What the samples look like: robust standard deviations in volts, line noise."""

    seen: float
    scale_v: tuple[float, float, float]  # of the quietest, the typical and the loudest channel
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Inspection:
    """All that is known about a recording. What a fault hides is None or empty.

    Attributes:
        file, format: where from.
        faults, notes: what is wrong; what is worth knowing.
    """

    file: str
    format: str
    session_id: str | None
    subject: str | None
    neural: Neural | None
    samples: Samples | None
    gaps: tuple[Gap, ...]
    behaviors: tuple[BehaviorContent, ...]
    suggestion: Suggestion | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def fit(self) -> bool:
        """Nothing is wrong."""
        return not self.faults

    @property
    def usable(self) -> bool:
        """What is wrong, if anything, is masked."""
        return all(fault.usable for fault in self.faults)

    @property
    def fit_for(self) -> tuple[str, ...]:
        """What it can be used for: "pretrain" without labels, "decode" (and to be scored)."""
        if self.neural is None or not all(f.usable or f.of_behavior for f in self.faults):
            return ()
        decodes = self.usable and any(not behavior.error for behavior in self.behaviors)
        return ("pretrain", "decode") if decodes else ("pretrain",)

    def as_json(self) -> dict[str, Any]:
        """Plain values: finite numbers, texts, lists and None."""
        judged = {"fit": self.fit, "usable": self.usable, "fit_for": self.fit_for}
        content = {**asdict(self), **judged}
        plain: dict[str, Any] = _plain(content)
        return plain


def inspect_recording(
    path: Path | str, lfp: str | None = None, behavior: str | None = None
) -> Inspection:
    """Look at a recording; `lfp` and `behavior` choose series where it has several.

    Raises:
        ValueError: it cannot be read at all, for a reason that is none of the faults.
    """
    path = Path(path)
    kind = format_of(path)
    named = "unknown" if kind is None else kind.name
    try:
        recording = open_recording(path, lfp, doubtful=True)
    except RecordingFaultError as error:
        fault = Fault(error.fault, str(error), usable=False)
        return Inspection(str(path), named, None, None, None, None, (), (), None, (fault,), ())
    with recording:
        return _inspect(recording, named, behavior)


def _inspect(recording: Recording, named: str, behavior: str | None) -> Inspection:
    about = (str(recording.path), named, recording.session_id, recording.subject)
    hopeless = transposed(recording) or time_unit(recording)
    if hopeless:
        return Inspection(*about, _neural(recording), None, (), (), None, tuple(hopeless), ())
    behaviors, chosen, series = _behaviors(recording, behavior)
    statistics = statistics_of(recording)
    gaps = gaps_of(recording)
    evidence = Evidence(recording, statistics, gaps, behaviors, chosen)
    faults, notes = find_faults(evidence), find_notes(evidence)
    suggestion = None
    if chosen is not None and series is not None:
        try:
            suggestion = suggest(recording, chosen, series)
            notes += lag_notes(suggestion.lag)
        except ValueError as error:
            notes.append(f"no recipe can be suggested: {error}")
    return Inspection(
        *about,
        _neural(recording),
        _samples(statistics),
        tuple(gaps),
        tuple(behaviors),
        suggestion,
        tuple(faults),
        tuple(notes),
    )


def _behaviors(
    recording: Recording, asked: str | None
) -> tuple[list[BehaviorContent], BehaviorContent | None, TimeSeries | None]:
    """Every behavior of the file, the one to decode and its series."""
    found = {path: behavior_of(recording, path) for path in recording.behavior_paths()}
    if asked is not None and asked not in found:
        found[asked] = behavior_of(recording, asked)
    if asked is not None and found[asked][0].error and not found[asked][0].fault:
        raise ValueError(found[asked][0].error)
    candidates = [content for path, (content, _) in found.items() if asked in (None, path)]
    chosen = likely_target(candidates)
    contents = [content for content, _ in found.values()]
    if chosen is None or chosen.error:
        return contents, chosen, None
    return contents, chosen, found[chosen.path][1]


def _neural(recording: Recording) -> Neural:
    return Neural(
        recording.lfp_path,
        recording.n_channels,
        tuple(dict.fromkeys(region for region in recording.regions if region)),
        recording.sampling_rate_hz,
        recording.start_s,
        recording.n_samples / recording.sampling_rate_hz,
        recording.sample_bits,
    )


def _samples(statistics: Statistics) -> Samples:
    scale = statistics.scale_v[np.isfinite(statistics.scale_v)]
    three = (scale.min(), np.median(scale), scale.max()) if scale.size else (np.nan,) * 3
    lines = find_lines(statistics.frequencies_hz, statistics.power_db)[:5]
    low, typical, high = (float(value) for value in three)
    return Samples(statistics.seen, (low, typical, high), tuple(lines))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
