"""Guard and common average, sample by sample: what must be known before any filter."""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.compiling import behaved, compiled
from realm.signal.guard import Guard, GuardState, HoldState
from realm.signal.reference import CommonAverage
from realm.signal.stage import Floats, Guarded

NEVER = np.iinfo(np.int64).max  # samples
ROWS = 64  # samples of all channels that are looked at together

FLOATS, COUNTS, FLAGS = "float64[::1]", "int64[::1]", "boolean[::1]"
CHUNK, CHUNK_FLAGS = "float64[:, ::1]", "boolean[:, ::1]"


@compiled(f"void({FLOATS}, {FLAGS}, {FLOATS}, {FLOATS}, {COUNTS})")
def hold(x: Any, bad: Any, weight: Any, last: Any, age: Any) -> None:
    """One sample of every channel (channels,), in place: bad ones take the last good value."""
    oldest = weight.size - 1
    for c in range(x.size):
        if bad[c]:
            age[c] = min(age[c] + 1, oldest)
            x[c] = last[c] * weight[age[c]]
        else:
            last[c], age[c] = x[c], 0


@compiled(f"void({FLOATS}, {FLOATS}, {FLOATS}, {FLOATS}, {FLOATS})")
def centred(raw: Any, centre: Any, reach: Any, out: Any, beyond: Any) -> None:
    """One sample of every channel (channels,) from its centre; count those out of reach."""
    for c in range(raw.size):
        x = raw[c] - centre[c]
        out[c] = x
        beyond[c] += 0.0 if abs(x) <= reach[c] else 1.0  # NaN is out of reach too


@compiled(
    f"void({CHUNK}, {FLOATS}, {FLOATS}, {FLOATS}, {COUNTS}, {FLAGS}, {FLOATS}, {FLOATS}, {COUNTS}, "
    f"{COUNTS}, {COUNTS}, {FLAGS}, {FLOATS}, {COUNTS}, {CHUNK}, {CHUNK_FLAGS})"
)
def guard(
    raw: Any,
    centre: Any,
    reach: Any,
    rail: Any,
    limits: Any,
    dead: Any,
    weight: Any,
    previous: Any,
    repeats: Any,
    bad_run: Any,
    good_run: Any,
    masked: Any,
    last: Any,
    age: Any,
    samples: Any,
    bad: Any,
) -> None:
    """Guard a chunk into `samples` and `bad`; what is remembered (channels,) is written over.

    A few samples of all channels are taken at once. Where all of a channel's are in reach, and too
    few to complete a run of identical ones, it is enough to count at the end of them.
    """
    flat, saturated, dead_run, recovery = limits[0], limits[1], limits[2], limits[3]
    shortest, oldest = min(flat, saturated), weight.size - 1
    rows = max(1, min(ROWS, 2 * shortest // 3))
    beyond = np.empty(raw.shape[1])
    for start in range(0, raw.shape[0], rows):
        stop = min(start + rows, raw.shape[0])
        beyond[:] = 0.0
        bad[start:stop] = False
        for t in range(start, stop):
            centred(raw[t], centre, reach, samples[t], beyond)
        before = raw[stop - 2] if stop - start > 1 else previous
        rough = 0
        for c in range(raw.shape[1]):
            rough += 1 if raw[stop - 1, c] == before[c] else 0
            rough += 1 if repeats[c] + stop - start >= shortest else 0
            rough += 1 if masked[c] else 0
            rough += 1 if beyond[c] != 0 else 0
        if rough == 0:  # mostly so: no channel needs a second look
            for c in range(raw.shape[1]):
                repeats[c], bad_run[c], age[c] = 0, 0, 0
                good_run[c] += stop - start
                previous[c], last[c] = raw[stop - 1, c], samples[stop - 1, c]
            continue
        for c in range(raw.shape[1]):
            if beyond[c] == 0 and not masked[c] and repeats[c] + stop - start < shortest:
                same = 0
                while (
                    same < stop - start - 1 and raw[stop - 1 - same, c] == raw[stop - 2 - same, c]
                ):
                    same += 1
                if same == stop - start - 1 and raw[start, c] == previous[c]:
                    same += repeats[c] + 1
                repeats[c], previous[c] = same, raw[stop - 1, c]
                bad_run[c], good_run[c] = 0, good_run[c] + stop - start
                last[c], age[c] = samples[stop - 1, c], 0
                continue
            for t in range(start, stop):
                value, x = raw[t, c], samples[t, c]
                repeats[c] = repeats[c] + 1 if value == previous[c] else 0
                previous[c] = value
                far = not abs(x) <= reach[c]
                railed = (repeats[c] >= saturated) & (abs(x) > rail[c])
                wrong = far | railed | (repeats[c] >= flat)
                bad_run[c] = bad_run[c] + 1 if wrong else 0
                good_run[c] = 0 if wrong else good_run[c] + 1
                back = (good_run[c] >= recovery) & (not dead[c])
                masked[c] = (bad_run[c] >= dead_run) | (masked[c] & (not back))
                if wrong or masked[c]:
                    bad[t, c], age[c] = True, min(age[c] + 1, oldest)
                    samples[t, c] = last[c] * weight[age[c]]
                else:
                    last[c], age[c] = x, 0


@compiled(f"void({CHUNK}, {CHUNK_FLAGS}, {FLOATS}, {FLOATS}, {COUNTS}, {CHUNK})")
def average(x: Any, bad: Any, weight: Any, last: Any, age: Any, out: Any) -> None:
    """Subtract the mean of the good channels; what is held (channels,) is written over."""
    for t in range(x.shape[0]):
        total, count = 0.0, 0
        for c in range(x.shape[1]):
            if not bad[t, c]:
                total += x[t, c]
                count += 1
        mean = total / max(count, 1)
        for c in range(x.shape[1]):
            out[t, c] = x[t, c] - mean
        hold(out[t], bad[t], weight, last, age)


class CompiledGuard:
    """As `Guard.step`."""

    def __init__(self, stage: Guard) -> None:
        self._plain = stage.step
        self._channels = tuple(
            np.array(each, dtype=np.float64)
            for each in (stage.limits.centre, stage.reach, stage.rail)
        )
        flat = NEVER if stage.flat is None else stage.flat
        limits = [flat, stage.saturated, stage.dead_run, stage.recovery]
        self._limits = np.array(limits, dtype=np.int64)
        self._dead, self._weight = np.array(stage.dead), stage.hold.weight

    def step(self, raw: Floats, state: GuardState) -> tuple[Guarded, GuardState]:
        """Guard one chunk of raw samples (samples, channels) in volts."""
        if not len(raw):
            return self._plain(raw, state)
        previous, repeats, bad_run, good_run, masked, (last, age) = state
        after = GuardState(
            previous.copy(),
            repeats.copy(),
            bad_run.copy(),
            good_run.copy(),
            masked.copy(),
            HoldState(last.copy(), age.copy()),
        )
        out = Guarded(np.empty(raw.shape), np.empty(raw.shape, dtype=np.bool_))
        known = (*self._channels, self._limits, self._dead, self._weight)
        every: Any = (behaved(raw), *known, *after[:-1], *after.hold, out.samples, out.bad)
        guard(*every)
        return out, after


class CompiledAverage:
    """As `CommonAverage.step`."""

    def __init__(self, stage: CommonAverage) -> None:
        self._plain, self._weight = stage.step, stage.hold.weight

    def step(self, x: Guarded, state: HoldState) -> tuple[Guarded, HoldState]:
        """Re-reference one chunk."""
        if not len(x.samples):
            return self._plain(x, state)
        after = HoldState(state.last.copy(), state.age.copy())
        samples = np.empty(x.samples.shape)
        average(behaved(x.samples), behaved(x.bad), self._weight, *after, samples)
        return Guarded(samples, x.bad, x.raw), after
