"""The first stage: nothing that is not signal reaches a filter.

One NaN in a recursive filter stays for ever and one spike of a volt rings for seconds, so bad
samples are replaced before any filter and flagged, from what is known at that instant alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from realm.signal.config import SignalConfig
from realm.signal.stage import Counts, Flags, Floats, Guarded

SATURATED_SCALE = 3.0  # identical samples this far out are a rail, nearer in they may be a pause
SHORTEST_RUN = 3  # repeats; fewer are ordinary in coarsely quantized recordings
POWER_FLOOR = 1e-4  # of a channel's scale, as an amplitude
POWER_FLOOR_UNFITTED = 1e-12  # volts
LARGEST = 1e6  # volts; beyond it nothing is a signal, fitted or not
DEAD_SHARE = 0.05  # of the median scale of the channels: less variation than this is none
MOSTLY = 0.5  # share of bad samples from which a channel is dead
ENOUGH = 500_000  # samples per channel that settle a median


@dataclass(frozen=True, eq=False)
class GuardLimits:
    """Centre and robust standard deviation of each channel (channels,), and the dead ones."""

    centre: Floats
    scale: Floats
    dead: dict[int, str]  # channel to the reason
    fitted: bool = True

    @classmethod
    def unfitted(cls, n_channels: int) -> GuardLimits:
        """Limits that only refuse what no recording can hold."""
        return cls(np.zeros(n_channels), np.ones(n_channels), {}, fitted=False)

    def reach(self, limit_scale: float) -> Floats:
        """How far from the centre a sample may lie, in volts (channels,)."""
        widest = np.full(len(self.scale), LARGEST)
        return np.minimum(limit_scale * self.scale, widest) if self.fitted else widest

    def power_floor(self) -> Floats:
        """A power far below any signal, volts squared (channels,): it keeps logarithms finite."""
        if not self.fitted:
            return np.full(len(self.scale), POWER_FLOOR_UNFITTED**2)
        return np.asarray(np.square(POWER_FLOOR * self.scale))


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


class GuardState(NamedTuple):
    """What the guard remembers of each channel; all (channels,)."""

    previous: Floats  # the last raw sample
    repeats: Counts  # how often it had come in a row
    bad_run: Counts
    good_run: Counts
    masked: Flags
    hold: HoldState


class Guard:
    """Flags and replaces bad samples, masks dead channels, and removes each channel's centre.

    Bad is what is not finite, lies further than `limit_scale` robust standard deviations from the
    centre, repeats one value for `flat_ms`, or repeats a value far from the centre for
    `saturated_ms`. It is replaced by the last good value, fading to the centre. A channel bad for
    `dead_ms` in a row is masked until it has been good for `recovery_ms`; dead ones always are.
    """

    latency_ms = 0.0

    def __init__(
        self, config: SignalConfig, sampling_rate_hz: float, limits: GuardLimits, dead: Flags
    ) -> None:
        self.limits, self.dead = limits, dead
        self.reach = limits.reach(config.limit_scale)
        self.rail = SATURATED_SCALE * limits.scale if limits.fitted else np.full(len(dead), np.inf)

        def samples(ms: float) -> int:
            return max(SHORTEST_RUN, int(np.ceil(ms * sampling_rate_hz / 1000)))

        # n identical samples are n - 1 repeats
        self.flat = samples(config.flat_ms) - 1 if config.flat_ms else None
        self.saturated = samples(config.saturated_ms) - 1
        self.dead_run, self.recovery = samples(config.dead_ms), samples(config.recovery_ms)
        self.hold = Hold(len(dead), sampling_rate_hz)

    def describe(self) -> str:
        """One line for people."""
        text = "replaces non-finite, implausible, flat and saturated samples"
        if not self.limits.fitted:
            text += " (limits not fitted yet)"
        return text + (f"; {int(self.dead.sum())} channel(s) masked" if self.dead.any() else "")

    def initial_state(self) -> GuardState:
        """Before the first sample: only dead channels are masked."""
        n = len(self.dead)
        zero = np.zeros(n, dtype=np.int64)
        hold = self.hold.initial_state()
        return GuardState(np.full(n, np.nan), zero, zero, zero, self.dead.copy(), hold)

    def step(self, raw: Floats, state: GuardState) -> tuple[Guarded, GuardState]:
        """Guard one chunk of raw samples (samples, channels) in volts."""
        if not len(raw):
            return Guarded(np.zeros_like(raw), np.zeros(raw.shape, dtype=bool)), state
        centred = raw - self.limits.centre
        repeats = run_lengths(self._repeated(raw, state.previous), state.repeats)
        wrong = self._wrong(centred, repeats)
        bad_run = run_lengths(wrong, state.bad_run)
        good_run = run_lengths(~wrong, state.good_run)
        gone, back = bad_run >= self.dead_run, (good_run >= self.recovery) & ~self.dead
        masked = latched(gone, back, state.masked)
        bad = wrong | masked
        samples, hold = self.hold.step(centred, bad, state.hold)
        state = GuardState(raw[-1].copy(), repeats[-1], bad_run[-1], good_run[-1], masked[-1], hold)
        return Guarded(samples, bad), state

    def _repeated(self, raw: Floats, previous: Floats) -> Flags:
        same = np.empty(raw.shape, dtype=bool)
        same[0] = raw[0] == previous
        np.equal(raw[1:], raw[:-1], out=same[1:])
        return same

    def _wrong(self, centred: Floats, repeats: Counts) -> Flags:
        distance = np.abs(centred)
        wrong = ~(distance <= self.reach)  # NaN compares as False, so it is wrong too
        wrong |= (repeats >= self.saturated) & (distance > self.rail)
        if self.flat is not None:
            wrong |= repeats >= self.flat
        return np.asarray(wrong)


def fit_limits(samples: Floats, config: SignalConfig, sampling_rate_hz: float) -> GuardLimits:
    """Learn the limits from training samples (samples, channels) in volts.

    The samples need not be one stretch: blocks from all over the training time do, as long as
    each is longer than `flat_ms`. Flat stretches and non-finite samples are left out.
    """
    n_channels = samples.shape[1]
    centre, scale = np.zeros(n_channels), np.zeros(n_channels)
    dead: dict[int, str] = {}
    for channel in range(n_channels):
        values = np.ascontiguousarray(samples[:, channel])  # read across memory once only
        good = _usable(values, config, sampling_rate_hz)
        if good.size < MOSTLY * values.size or not good.size:
            dead[channel] = f"{100 * (1 - good.size / max(values.size, 1)):.0f}% flat or not finite"
        if good.size:
            thinned = good[:: max(1, good.size // ENOUGH)]
            centre[channel], scale[channel] = _centre_and_scale(thinned)
        if scale[channel] == 0 and channel not in dead:
            dead[channel] = "no variation"
    alive = [c for c in range(n_channels) if c not in dead]
    typical = float(np.median(scale[alive])) if alive else 0.0
    for channel in alive:
        if scale[channel] < DEAD_SHARE * typical:
            dead[channel] = f"varies {100 * scale[channel] / typical:.1f}% as much as the others"
    scale[scale == 0] = 1.0
    return GuardLimits(centre, scale, dead)


def _usable(values: Floats, config: SignalConfig, sampling_rate_hz: float) -> Floats:
    with np.errstate(invalid="ignore"):
        good = np.abs(values) <= LARGEST
    if config.flat_ms:
        same = np.zeros((len(values), 1), dtype=bool)
        same[1:, 0] = values[1:] == values[:-1]
        repeats = run_lengths(same, np.zeros(1, dtype=np.int64))[:, 0]
        good &= repeats < max(3, int(config.flat_ms * sampling_rate_hz / 1000))
    return values[good]


def _centre_and_scale(values: Floats) -> tuple[float, float]:
    low, centre, high = np.percentile(values, [25, 50, 75])
    spread = max((high - low) / 1.349, 1.4826 * float(np.median(np.abs(values - centre))))
    return float(centre), float(spread or np.std(values))


# Counts along time that carry on from chunk to chunk, without a loop over samples: the latest index
# at which something happened is a running maximum. Arrays are (samples, channels); what is carried
# is (channels,).


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
