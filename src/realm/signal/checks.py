"""What a chain accepts, and what it says to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realm.signal.normalize import NormalizationStatistics


def checked_chunk(chunk: ArrayLike, names: tuple[str, ...]) -> NDArray[Any]:
    """A chunk is (samples, channels) of real numbers, with every channel of the chain."""
    samples = np.asarray(chunk)
    if samples.ndim != 2 or samples.shape[1] != len(names):
        raise ValueError(
            f"chunk: expected (samples, {len(names)} channels: {_short(names)}), "
            f"got an array of shape {samples.shape}; "
            "pass time first and every channel of the recording"
        )
    if samples.dtype.kind not in "fiu":
        raise ValueError(
            f"chunk: expected real numbers in volts, got {samples.dtype}; convert them first"
        )
    return samples


def checked_rate(rate: float) -> float:
    """A sampling rate is finite and above zero."""
    if not np.isfinite(rate) or rate <= 0:
        raise ValueError(
            f"sampling_rate_hz: expected a number above zero, got {rate!r}; "
            "correct the rate of the recording"
        )
    return float(rate)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """There is at least one channel, and no name comes twice."""
    names = tuple(str(name) for name in names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise ValueError(
            f"channel_names: expected at least one and no name twice, got {_short(names)}"
            + (f" with {', '.join(twice)} repeated" if twice else "")
            + "; name every channel differently"
        )
    return names


def checked_flags(
    flags: Sequence[bool] | NDArray[np.bool_] | None, names: tuple[str, ...]
) -> tuple[bool, ...]:
    """One flag for each channel; none given means that none is bad."""
    flags = (False,) * len(names) if flags is None else tuple(bool(flag) for flag in flags)
    if len(flags) != len(names):
        raise ValueError(
            f"bad_channels: expected {len(names)} flags, one for each channel, got {len(flags)}; "
            "give them in the order of channel_names"
        )
    return flags


def check_statistics(statistics: NormalizationStatistics, shape: tuple[int, int]) -> None:
    """Statistics belong to these (channels, bands) and can be divided by."""
    mean, std, n_bins = (np.asarray(part) for part in statistics)
    if mean.shape != shape or std.shape != shape or n_bins.shape != shape[:1]:
        raise ValueError(
            f"normalization: expected mean and std of shape {shape} (channels, bands), got "
            f"{mean.shape} and {std.shape}; use statistics of the same channels and bands"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ValueError(
            "normalization: expected finite means and deviations above zero; fit them again"
        )


def _short(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown + (f", … {names[-1]}" if len(names) > 6 else "")
