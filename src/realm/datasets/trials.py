"""Recordings that were cut into trials, laid out in time again; what lies between is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.write import Samples, by_slices

Floats = NDArray[np.float64]


def trial_times(starts_s: Sequence[float], counts: Sequence[int], rate_hz: float) -> Floats:
    """The time of every sample, in seconds: trial i begins at `starts_s[i]`, on one common grid."""
    first = starts_s[0]
    parts = [
        first + (round((start - first) * rate_hz) + np.arange(count)) / rate_hz
        for start, count in zip(starts_s, counts, strict=True)
    ]
    return np.concatenate(parts)


def in_a_row(counts: Sequence[int], rate_hz: float, pause_s: float) -> list[float]:
    """Starts of trials of which nobody says when they were: one after the other, with pauses."""
    lengths = np.asarray(counts, dtype=np.float64) / rate_hz + pause_s
    starts: list[float] = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]).tolist()
    return starts


def held_samples(
    values: NDArray[Any],
    timestamps_s: Floats,
    names: Sequence[str],
    regions: Sequence[str],
    filtering: Sequence[str] = (),
) -> Samples:
    """Samples that are in memory, (samples, channels), as they are stored: volts or unknown."""

    return Samples(
        tuple(names),
        tuple(regions),
        (False,) * len(names),
        len(values),
        values.dtype,
        1.0,
        by_slices(values),
        timestamps_s=timestamps_s,
        filtering=tuple(filtering),
    )
