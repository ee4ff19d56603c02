"""A stream's channels against those of the bundle: matched by name, or refused by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live.source import StreamInfo

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
NOMINAL_TOLERANCE = 1e-3  # of the rate: clocks differ by less, other rates by more
SHOWN = 6  # names in a message


class Fit(NamedTuple):
    """How a stream's samples become those of the bundle."""

    columns: NDArray[np.int64]  # (channels,) the stream's column of each channel of the bundle
    width: int  # columns of the stream
    volts: float  # in one unit of the stream
    extra: tuple[str, ...]  # channels that the bundle does not use
    reordered: bool

    @property
    def as_it_is(self) -> bool:
        """Whether the stream has just these channels in this order."""
        return not self.reordered and self.width == len(self.columns)

    def apply(self, samples: NDArray[Any], more: int = 0) -> NDArray[np.float64]:
        """Volts (samples, channels + more), in the order of the bundle, then columns of NaN.

        Raises:
            ValueError: the samples are not what the stream said they would be.
        """
        samples = np.asarray(samples)
        if samples.ndim != 2 or samples.shape[1] != self.width or samples.dtype.kind not in "fiu":
            raise ValueError(
                f"expected real numbers of shape (samples, {self.width}), got {samples.dtype} of "
                f"shape {samples.shape}; the source no longer sends what it said"
            )
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            volts = np.full((len(samples), len(self.columns) + more), np.nan)
            chosen = samples if self.as_it_is else samples[:, self.columns]
            np.multiply(chosen, self.volts, out=volts[:, : len(self.columns)], dtype=np.float64)
        return volts


def match(info: StreamInfo, names: tuple[str, ...], rate_hz: float) -> Fit:
    """How the stream fits a bundle with these channels and this rate.

    Channels are matched by name, in whatever order; others are left out.

    Raises:
        ValueError: a channel is missing or named twice, or unit or rate do not fit.
    """
    sent = info.channel_names
    twice = sorted({name for name in names if sent.count(name) > 1})
    if twice:
        raise ValueError(
            f"{info.name}: expected each channel once, got {_short(twice)} more than once; give "
            "the channels of the source different names"
        )
    missing = [name for name in names if name not in sent]
    if missing:
        others = [name for name in sent if name not in names]
        raise ValueError(
            f"{info.name}: expected the {len(names)} channels of the bundle, but {_short(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing"
            + (f" and {_short(others)} unknown" if others else "")
            + "; name the channels of the source as the recording did"
        )
    if info.unit not in VOLTS:
        raise ValueError(
            f"{info.name}: expected samples in {', '.join(VOLTS)}, got {info.unit!r}; correct the "
            "unit that the source declares"
        )
    if not abs(info.sampling_rate_hz / rate_hz - 1) <= NOMINAL_TOLERANCE:
        raise ValueError(
            f"{info.name}: expected {rate_hz:g} samples per second, as in the bundle, got "
            f"{info.sampling_rate_hz:g}; set the source to the rate of the training"
        )
    columns = np.array([sent.index(name) for name in names], dtype=np.int64)
    extra = tuple(name for name in sent if name not in names)
    return Fit(columns, len(sent), VOLTS[info.unit], extra, bool((np.diff(columns) < 0).any()))


def _short(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")
