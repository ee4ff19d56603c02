"""The first stage: nothing that is not signal reaches a filter.

One NaN in a recursive filter stays for ever and one spike of a volt rings for seconds, so bad
samples are replaced before any filter and flagged, from what is known at that instant alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realm.signal.config import SignalConfig
from realm.signal.limits import GuardLimits
from realm.signal.runs import Hold, HoldState, latched, run_lengths
from realm.signal.stage import Counts, Flags, Floats, Guarded

SATURATED_SCALE = 3.0  # identical samples this far out are a rail, nearer in they may be a pause
SHORTEST_RUN = 3  # repeats; fewer are ordinary in coarsely quantized recordings


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
