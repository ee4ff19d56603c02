"""Some channels of an amplifier are neural, others record behavior on the same clock."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channel_names import names_another_signal
from realm.recordings.description import Description, find_description
from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import NamedBehavior, Signal, TimeSeries
from realm.volts import is_unreadable, volts_per

NEURAL_TYPES = ("SEEG", "ECOG", "EEG", "DBS", "LFP")  # as BIDS and mne call them


def is_electrode(
    *, kind: str | None = None, unit: str | None = None, name: str | None = None
) -> bool:
    """Whether a channel records a potential of the brain.

    Args:
        kind: type of the channel, where the format states one.
        unit: of its samples, where the format has one; an electrode's is one of potential, and a
            blank one is not.
        name: of the channel; it counts where no type is stated.
    """
    if kind is not None and kind.upper() not in NEURAL_TYPES:
        return False
    if kind is None and name is not None and names_another_signal(name):
        return False
    return unit is None or volts_per(unit) is not None


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each once: those that repeat get the number of their occurrence."""
    seen: Counter[str] = Counter()
    out: list[str] = []
    for name in names:
        seen[name] += 1
        repeated = names.count(name) > 1
        out.append(f"{name}_{seen[name]}" if repeated else name)
    return out if len(set(out)) == len(out) else [f"{n}_{i}" for i, n in enumerate(names)]


def select(path: Path, signal: Signal, kept: Sequence[int]) -> Signal:
    """The signal with only the channels at the positions `kept`.

    Raises:
        ValueError: none is kept.
    """
    if not kept:
        raise ValueError(
            f"{path}: expected neural channels, found none among "
            f"{', '.join(signal.channel_names[:20])}; correct the units, types or names of the "
            "channels in the file, or channels.electrodes and channels.leave_out in a "
            "recording.toml beside it"
        )
    if len(kept) == len(signal.channel_names):
        return signal

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return signal.read(first, stop)[:, list(kept)]

    return replace(
        signal,
        channel_names=tuple(signal.channel_names[i] for i in kept),
        regions=tuple(signal.regions[i] for i in kept),
        bad_channels=tuple(signal.bad_channels[i] for i in kept),
        read=read,
    )


def split(
    path: Path, signal: Signal, neural: Sequence[bool], units: Sequence[str] = ()
) -> tuple[Signal, NamedBehavior]:
    """The neural channels, and each other one as behavior of its own name.

    Args:
        path: of the file.
        signal: all channels.
        neural: which of them are electrodes.
        units: of what `signal` reads, one for each channel; none: arbitrary.
    """
    check_units(path, signal.channel_names, units or ["arbitrary"] * len(neural), neural)
    units = [unit or "arbitrary" for unit in units] or ["arbitrary"] * len(neural)
    behavior = NamedBehavior(
        {
            name: partial(series_of_channels, path, signal, name, (name,), unit=unit)
            for name, yes, unit in zip(signal.channel_names, neural, units, strict=True)
            if not yes
        }
    )
    return select(path, signal, [i for i, yes in enumerate(neural) if yes]), behavior


def check_units(
    path: Path, names: Sequence[str], units: Sequence[str], neural: Sequence[bool]
) -> None:
    """Raise where one electrode has a unit and the next, by its name of the same kind, has none.

    A description may leave such a channel out, or make it behavior.
    """
    said = find_description(path) or Description()
    settled = {channel for series in said.behavior.values() for channel in series.channels}
    stems = {_stem(name) for name, yes in zip(names, neural, strict=True) if yes}
    lost = [
        f"{name} ({unit.strip()!r})"
        for name, unit, yes in zip(names, units, neural, strict=True)
        if not (yes or names_another_signal(name) or name in settled)
        and is_unreadable(unit)
        and _stem(name) in stems
        and not any(fnmatch.fnmatch(name, pattern) for pattern in said.channels.leave_out)
    ]
    if lost:
        raise RecordingFaultError(
            "unit",
            f"{path}: expected a unit of potential for every electrode, but {', '.join(lost[:4])} "
            f"{'have' if len(lost) > 1 else 'has'} none that can be read; correct the unit in the "
            "file, or name the channel in channels.leave_out of a recording.toml beside it",
        )


def _stem(name: str) -> str:
    """The name without its numbers: what contacts of one probe share."""
    return re.sub(r"\d+", "", name).strip().lower()


def series_of_channels(
    path: Path,
    signal: Signal,
    name: str,
    channels: Sequence[str],
    *,
    gain: float = 1.0,
    offset_s: float = 0.0,
    unit: str = "arbitrary",
) -> TimeSeries:
    """All samples of some channels, side by side, as the behavior `name`."""
    columns = [signal.channel_names.index(channel) for channel in channels]
    values = np.concatenate(
        [
            signal.read(stored, stored + count)[:, columns] * gain
            for _, stored, count in signal.grid.runs.tolist()
        ]
    )
    times = signal.grid.times_s() + offset_s
    return finished(path, name, times, values, unit, tuple(channels))


def finished(
    path: Path,
    name: str,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    unit: str,
    names: tuple[str, ...],
) -> TimeSeries:
    """A behavior series; what is not finite is missing, and something must be known.

    Raises:
        ValueError: it has more dims than times, or every value is missing.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    if values.shape[1] > len(values):
        raise RecordingFaultError(
            "transposed",
            f"{path}: expected behavior {name!r} with time first, got {len(values)} times of "
            f"{values.shape[1]} dims; time and dims are swapped, transpose the data or swap the "
            "axes in the description",
        )
    if not np.isfinite(values).any():
        raise RecordingFaultError(
            "missing_behavior",
            f"{path}: expected behavior {name!r}, but every value is missing; choose another "
            "behavior or repair the series",
        )
    return TimeSeries(times, values, unit, names)
