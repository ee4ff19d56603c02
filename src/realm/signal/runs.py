"""Counts along time that carry on from chunk to chunk, without a loop over samples.

All of it rests on one idea: the latest index at which something happened is a running maximum.
Arrays are (samples, channels); what is carried is (channels,).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realm.signal.stage import Counts, Flags, Floats


def run_lengths(flags: Flags, carried: Counts) -> Counts:
    """How many True in a row end at each sample; `carried` of them ended before the first."""
    index = np.arange(len(flags))[:, None]
    latest_false = np.maximum.accumulate(np.where(flags, -1 - carried, index), axis=0)
    return np.asarray(index - latest_false)


def latched(on: Flags, off: Flags, carried: Flags) -> Flags:
    """A switch that `on` sets and `off` clears, and that stays in between; `carried` before."""
    index = np.arange(len(on))[:, None]
    latest_on = np.maximum.accumulate(np.where(on, index, np.where(carried, -1, -2)), axis=0)
    latest_off = np.maximum.accumulate(np.where(off, index, np.where(carried, -2, -1)), axis=0)
    return np.asarray(latest_on > latest_off)


class HoldState(NamedTuple):
    """The last good value of each channel and how many samples ago it came."""

    last: Floats  # (channels,)
    age: Counts  # (channels,)


class Hold:
    """Replaces bad samples by the last good one, which then fades to zero.

    A short gap is best bridged by the last value; over a long one that value is stale and would
    push the slow filters away from rest, so it fades with a time constant of 50 ms.
    """

    def __init__(self, n_channels: int, sampling_rate_hz: float, fade_ms: float = 50.0) -> None:
        self.n_channels = n_channels
        fade = max(fade_ms * sampling_rate_hz / 1000, 1e-3)  # in samples
        ages = np.arange(int(np.ceil(40 * fade)) + 3)
        self.weight = np.exp(-np.maximum(ages - 1, 0) / fade)  # 1 at ages 0 and 1
        self.weight[-1] = 0.0

    def initial_state(self) -> HoldState:
        """Nothing good has come yet: gaps are filled with zero."""
        return HoldState(np.zeros(self.n_channels), np.zeros(self.n_channels, dtype=np.int64))

    def step(self, values: Floats, bad: Flags, state: HoldState) -> tuple[Floats, HoldState]:
        """Return `values` (samples, channels) with those under `bad` replaced."""
        if not len(values):
            return values, state
        if not bad.any():
            return values, HoldState(values[-1].copy(), np.zeros_like(state.age))
        index = np.arange(len(values))[:, None]
        latest = np.maximum.accumulate(np.where(bad, -1, index), axis=0)  # of the good samples
        seen = latest >= 0
        last = np.where(seen, np.take_along_axis(values, np.maximum(latest, 0), 0), state.last)
        age = np.where(seen, index - latest, state.age + index + 1)
        oldest = len(self.weight) - 1
        held = last * self.weight[np.minimum(age, oldest)]
        return held, HoldState(last[-1].copy(), np.minimum(age[-1], oldest))
