"""Some channels of an amplifier are neural, others record behavior on the same clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.recording import NamedBehavior, Signal, TimeSeries
from realm.volts import volts_per

NEURAL_TYPES = ("SEEG", "ECOG", "EEG", "DBS", "LFP")  # as BIDS and mne call them


def is_electrode(*, kind: str | None = None, unit: str | None = None) -> bool:
    """Whether a channel records a potential of the brain.

    Args:
        kind: type of the channel, where the format states one.
        unit: of its samples, where the format states one; an electrode's is one of potential.
    """
    if kind is not None and kind.upper() not in NEURAL_TYPES:
        return False
    return unit is None or volts_per(unit) is not None


def select(path: Path, signal: Signal, kept: Sequence[int]) -> Signal:
    """The signal with only the channels at the positions `kept`.

    Raises:
        ValueError: none is kept.
    """
    if not kept:
        raise ValueError(
            f"{path}: expected neural channels, found none among "
            f"{', '.join(signal.channel_names[:20])}; correct the units or types of the channels "
            "in the file, or what its description leaves out"
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


def split(path: Path, signal: Signal, neural: Sequence[bool]) -> tuple[Signal, NamedBehavior]:
    """The neural channels, and each other one as behavior of its own name."""
    others = [n for n, yes in zip(signal.channel_names, neural, strict=True) if not yes]
    behavior = NamedBehavior(
        {name: partial(series_of_channels, path, signal, name, (name,)) for name in others}
    )
    return select(path, signal, [i for i, yes in enumerate(neural) if yes]), behavior


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
    """A behavior series; what is not finite is missing, and something must be known."""
    values = np.where(np.isfinite(values), values, np.nan)
    if not np.isfinite(values).any():
        raise ValueError(
            f"{path}: expected behavior {name!r}, but every value is missing; choose another "
            "behavior or repair the series"
        )
    return TimeSeries(times, values, unit, names)
