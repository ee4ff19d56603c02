"""Second-order sections, squares and smoothing of all bands in one pass over the samples.

A section is the transposed direct form II of `scipy.signal.sosfilt`, term by term. State that is
negligible is set to zero at every sample, so that the cut into chunks makes no difference to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from realm.compiling import behaved, compiled
from realm.signal.features import BandPower, Bands, SlowPotential
from realm.signal.filters import NEGLIGIBLE, LineNotch, Sections
from realm.signal.stage import Banded, Flags, Floats, Guarded


@compiled("void(float64[::1], float64[::1], float64[:, ::1])")
def section(x: Any, sos: Any, state: Any) -> None:
    """One sample of every channel (channels,), in place; state (2, channels), written over."""
    b0, b1, b2, a1, a2 = sos[0], sos[1], sos[2], sos[4], sos[5]
    first, second = state[0], state[1]
    for c in range(x.size):
        y = b0 * x[c] + first[c]
        p = b1 * x[c] - a1 * y + second[c]
        q = b2 * x[c] - a2 * y
        first[c] = 0.0 if abs(p) < NEGLIGIBLE else p
        second[c] = 0.0 if abs(q) < NEGLIGIBLE else q
        x[c] = y


@compiled("void(float64[:, ::1], float64[:, ::1], float64[:, ::1])")
def cascade(x: Any, sos: Any, state: Any) -> None:
    """Filter x (samples, channels) in place; state (2 * sections, channels), written over."""
    for t in range(x.shape[0]):
        for s in range(sos.shape[0]):
            section(x[t], sos[s], state[2 * s : 2 * s + 2])


@compiled("void(float64[::1], boolean[::1], float64[::1], float64[:, ::1], float64[::1])")
def smooth_good(power: Any, bad: Any, sos: Any, state: Any, before: Any) -> None:
    """As `section`, but channels under `bad` keep their state and the level `before`."""
    b0, b1, b2, a1, a2 = sos[0], sos[1], sos[2], sos[4], sos[5]
    for c in range(power.size):
        if bad[c]:
            power[c] = before[c]
        else:
            y = b0 * power[c] + state[0, c]
            p = b1 * power[c] - a1 * y + state[1, c]
            q = b2 * power[c] - a2 * y
            state[0, c] = 0.0 if abs(p) < NEGLIGIBLE else p
            state[1, c] = 0.0 if abs(q) < NEGLIGIBLE else q
            power[c] = y


@compiled(
    "void(float64[:, ::1], boolean[:, ::1], float64[:, ::1], int64[::1], boolean[::1], "
    "float64[:, ::1], float64[:, :, ::1])"
)
def bank(x: Any, bad: Any, sos: Any, starts: Any, power: Any, state: Any, out: Any) -> None:
    """All bands of a chunk: x (samples, channels) into `out` (samples, bands, channels).

    Band b has the sections from starts[b] to starts[b + 1], the last one its smoothing if it is
    one of power; `state` holds two rows for each section, then the level where there is one.
    """
    samples, bands = x.shape[0], starts.size - 1
    rough = np.empty(samples, np.bool_)
    for t in range(samples):
        rough[t] = bad[t].any()
    row = 0
    for b in range(bands):
        n = starts[b + 1] - starts[b] - (1 if power[b] else 0)
        level = row + 2 * (n + 1)
        for t in range(samples):
            y = out[t, b]
            y[:] = x[t]
            for s in range(n):
                section(y, sos[starts[b] + s], state[row + 2 * s : row + 2 * s + 2])
            if power[b]:
                for c in range(y.size):
                    y[c] = y[c] * y[c]
                smoothing, memory = sos[starts[b] + n], state[row + 2 * n : level]
                if rough[t]:
                    before = out[t - 1, b] if t > 0 else state[level]
                    smooth_good(y, bad[t], smoothing, memory, before)
                else:
                    section(y, smoothing, memory)
        if power[b]:
            state[level] = out[samples - 1, b]
            row = level + 1
        else:
            row += 2 * n


def _stacked(filters: Iterable[Sections]) -> Floats:
    every = [sections.sos for sections in filters]
    return np.ascontiguousarray(np.vstack(every)) if every else np.empty((0, 6))


class CompiledNotch:
    """As `LineNotch.step`."""

    def __init__(self, stage: LineNotch) -> None:
        self._plain = stage.step
        self._sos = _stacked(stage.sections.values())

    def step(self, x: Guarded, state: Floats) -> tuple[Guarded, Floats]:
        """Notch one chunk."""
        if not len(x.samples):
            return self._plain(x, state)
        samples, after = x.samples.copy(), state.copy()
        cascade(samples, self._sos, after.reshape(-1, samples.shape[1]))
        return Guarded(samples, x.bad, x.raw), after


class CompiledBands:
    """As `Bands.step`; the bands of its output lie apart in memory, (samples, bands, channels).

    Features of the kinds known here, and of no subclass, are computed in one pass. Any other one
    computes itself.
    """

    def __init__(self, stage: Bands) -> None:
        self._stage = stage
        known = [
            c for c, part in enumerate(stage.parts) if type(part) in (SlowPotential, BandPower)
        ]
        self._others = [c for c in range(len(stage.parts)) if c not in known]
        parts = [stage.parts[c] for c in known]
        filters = [list(part.sections.values()) for part in parts]  # type: ignore[attr-defined]
        self._sos = _stacked(each for sections in filters for each in sections)
        counts = np.array([sum(len(each.sos) for each in sections) for sections in filters])
        self._starts = np.cumsum([0, *counts])
        self._power: Flags = np.array([type(part) is BandPower for part in parts])
        self._known = known
        self._rows = np.array(
            [row for c in known for row in _indices(stage.rows[c])], dtype=np.int64
        )

    def step(self, x: Guarded, state: Floats) -> tuple[Banded, Floats]:
        """Filter one chunk into (samples, channels, bands)."""
        if not len(x.samples):
            return self._stage.step(x, state)
        samples, channels = x.samples.shape
        after, out = state.copy(), np.empty((samples, len(self._stage.parts), channels))
        if self._others:
            self._mixed(x, state, after, out)
        else:
            self._run(x, after, out)
        return Banded(out.transpose(0, 2, 1), x.bad, x.raw), after

    def _run(self, x: Guarded, state: Floats, out: Floats) -> None:
        bank(behaved(x.samples), behaved(x.bad), self._sos, self._starts, self._power, state, out)

    def _mixed(self, x: Guarded, state: Floats, after: Floats, out: Floats) -> None:
        if self._known:
            rows, columns = state[self._rows], np.empty((len(out), len(self._known), out.shape[2]))
            self._run(x, rows, columns)
            after[self._rows], out[:, self._known] = rows, columns
        for column in self._others:
            own = self._stage.rows[column]
            out[:, column], after[own] = self._stage.parts[column].step(x, state[own])


def _indices(rows: slice) -> range:
    return range(rows.start, rows.stop)
