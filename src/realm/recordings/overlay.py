"""What a description says about a recording of any format, laid over what its file says."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from realm.recordings.channels import finished, is_electrode, select, series_of_channels, split
from realm.recordings.description import (
    BehaviorSeries,
    Channels,
    Description,
    description_paths,
)
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.arrays import behavior_file, behavior_of, column_names
from realm.recordings.recording import NamedBehavior, Recording, Signal, TimeSeries, joined

NO_DESCRIPTION = Description()


def overlay(recording: Recording, description: Description) -> Recording:
    """The recording with the names, behavior and channels that the description gives it.

    Channels whose name says that they are no electrodes become behavior, each of its own name.

    Raises:
        ValueError: it names channels that are not there.
    """
    path, signal, channels = recording.path, recording.signal, description.channels
    used = {name for s in description.behavior.values() for name in s.channels}
    _check_named(recording, [*used, *channels.bad])
    named = NamedBehavior(
        {
            name: partial(_from_channels, recording, name, series)
            if series.channels
            else partial(behavior_of, path, name, series)
            for name, series in description.behavior.items()
        },
        {
            name: tuple(f for channel in series.channels for f in recording.files_with(channel))
            for name, series in description.behavior.items()
        },
    )
    kept = select(path, _relabelled(path, signal, channels), _kept(signal, used, channels))
    kept, others = split(path, kept, _neural(kept, channels), ["V"] * len(kept.channel_names))
    files = [*recording.files, *description_paths(path)]
    files += [behavior_file(path, series) for series in description.behavior.values()]
    return Recording(
        path,
        joined(description.subject, description.session, recording.identity),
        kept,
        (named, others, *recording.behavior_sources),
        recording.close,
        tuple(dict.fromkeys(files)),
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


def _neural(signal: Signal, channels: Channels) -> list[bool]:
    """Which channels are electrodes by their names."""
    return [
        signal.typed
        or is_electrode(name=name)
        or any(fnmatch.fnmatch(name, pattern) for pattern in channels.electrodes)
        for name in signal.channel_names
    ]


def _from_channels(recording: Recording, name: str, series: BehaviorSeries) -> TimeSeries:
    """Behavior that the same amplifier recorded; without a gain, in volts or its own unit."""
    parts = [_channel(recording, channel, series.offset_s) for channel in series.channels]
    _check_one_clock(recording.path, name, series.channels, parts)
    stated = {part.unit for part in parts}
    unit = series.unit
    if unit == "arbitrary" and len(stated) == 1 and series.gain == 1:
        unit = stated.pop()
    values = np.concatenate([part.values for part in parts], axis=1) * series.gain
    names = column_names(series, len(series.channels))
    return finished(recording.path, name, parts[0].timestamps_s, values, unit, names)


def _channel(recording: Recording, channel: str, offset_s: float) -> TimeSeries:
    """One channel: of the samples, or one that the reader knew to be no electrode."""
    path, signal = recording.path, recording.signal
    if channel in signal.channel_names:
        return series_of_channels(path, signal, channel, (channel,), offset_s=offset_s, unit="V")
    found = recording.behavior(channel)
    return found._replace(timestamps_s=found.timestamps_s + offset_s)


def _check_one_clock(
    path: Path, name: str, channels: Sequence[str], parts: Sequence[TimeSeries]
) -> None:
    first = parts[0].timestamps_s
    for channel, part in zip(channels, parts, strict=True):
        times = part.timestamps_s
        if len(times) != len(first) or np.abs(times - first).max(initial=0.0) > 1e-6:
            raise ValueError(
                f"{path}: expected the channels {', '.join(channels)} of behavior {name!r} to be "
                f"sampled together, but {channel} is not; make a behavior of each"
            )


def _check_named(recording: Recording, names: list[str]) -> None:
    known = [*recording.channel_names, *recording.behavior_paths()]
    missing = sorted(set(names) - set(known))
    if missing:
        raise ValueError(
            f"{recording.path}: expected the channels {', '.join(missing)} of its description, "
            f"found none of that name among {', '.join(known[:20])}; correct the description"
        )
