"""What a description says about a recording of any format, laid over what its file says."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from functools import partial
from pathlib import Path

from realm.recordings.channels import select, series_of_channels
from realm.recordings.description import (
    BehaviorSeries,
    Channels,
    Description,
    description_path,
)
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.arrays import behavior_file, behavior_of, column_names
from realm.recordings.recording import NamedBehavior, Recording, Signal, TimeSeries, joined


def overlay(recording: Recording, description: Description) -> Recording:
    """The recording with the names, behavior and channels that the description gives it.

    Raises:
        ValueError: it names channels that are not there.
    """
    path, signal, channels = recording.path, recording.signal, description.channels
    used = {name for s in description.behavior.values() for name in s.channels}
    _check_named(path, signal, [*used, *channels.bad])
    named = NamedBehavior(
        {
            name: partial(_from_channels, path, signal, name, series)
            if series.channels
            else partial(behavior_of, path, name, series)
            for name, series in description.behavior.items()
        }
    )
    files = [*recording.files, description_path(path)]
    files += [behavior_file(path, series) for series in description.behavior.values()]
    return Recording(
        path,
        joined(description.subject, description.session, recording.identity),
        select(path, _relabelled(path, signal, channels), _kept(signal, used, channels)),
        (named, *recording.behavior_sources),
        recording.close,
        tuple(dict.fromkeys(file for file in files if file is not None)),
    )


def _relabelled(path: Path, signal: Signal, channels: Channels) -> Signal:
    """Regions given as a list, and flags of bad channels."""
    regions = signal.regions
    if isinstance(channels.regions, tuple) and channels.regions:
        regions = channels.regions
        if len(regions) != len(signal.channel_names):
            raise RecordingFaultError(
                "electrodes",
                f"{path}: expected one region for each of {len(signal.channel_names)} channels, "
                f"got {len(regions)}; correct channels.regions in the description",
            )
    bad = tuple(
        flag or name in channels.bad
        for name, flag in zip(signal.channel_names, signal.bad_channels, strict=True)
    )
    return replace(signal, regions=regions, bad_channels=bad)


def _kept(signal: Signal, used: set[str], channels: Channels) -> list[int]:
    """Positions of the channels that are neither behavior nor left out."""
    return [
        i
        for i, name in enumerate(signal.channel_names)
        if name not in used and not any(fnmatch.fnmatch(name, p) for p in channels.leave_out)
    ]


def _from_channels(path: Path, signal: Signal, name: str, series: BehaviorSeries) -> TimeSeries:
    """Behavior that the same amplifier recorded; without a gain, in volts."""
    unit = series.unit if series.unit != "arbitrary" else "V"
    found = series_of_channels(
        path,
        signal,
        name,
        series.channels,
        gain=series.gain,
        offset_s=series.offset_s,
        unit=unit,
    )
    return found._replace(names=column_names(series, len(series.channels)))


def _check_named(path: Path, signal: Signal, names: list[str]) -> None:
    missing = sorted(set(names) - set(signal.channel_names))
    if missing:
        raise ValueError(
            f"{path}: expected the channels {', '.join(missing)} of its description, found none "
            f"of that name among {', '.join(signal.channel_names[:20])}; correct the description"
        )
