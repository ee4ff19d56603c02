"""One pass over the samples: what every channel looks like, and the spectrum of line noise.

Short recordings are read whole; of long ones, blocks spread evenly, and it is said how much.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from realm.recordings.recording import Recording

BUDGET_VALUES = 1 << 27  # samples x channels that are looked at
BLOCK_VALUES = 1 << 21
SPECTRUM_S = 8.0  # of one segment: lines of 1/8 Hz
SPECTRUM_SEGMENTS = 64
SPECTRUM_CHANNELS = 16
ROBUST = 1.4826
NOISE_SAMPLES = 20000


class Statistics(NamedTuple):
    """What the samples look like.

    Attributes:
        seen: share of the stored samples that was looked at, 0 to 1.
        missing: (channels,) share of the seen samples that are not finite.
        first_missing_s: when the first of them was, on the clock of the file; None if none is.
        scale_v: (channels,) robust standard deviation in volts; NaN where all is missing.
        constant: (channels,) share of the seen samples that equal the one before.
        range_v: (channels,) from the smallest to the largest seen value, in volts.
        noise_v: (channels,) robust standard deviation of the second differences.
        steps: (channels,) share of the changes that stand alone: before and after them is none.
        stuck_s: (channels,) longest stretch of one value, in seconds.
        stuck_at_s: (channels,) when it began, on the clock of the file.
        frequencies_hz, power_db: (frequencies,) spectrum, the median over segments and channels;
            empty where the recording is shorter than a segment.
    """

    seen: float
    missing: NDArray[np.float64]
    first_missing_s: float | None
    scale_v: NDArray[np.float64]
    constant: NDArray[np.float64]
    range_v: NDArray[np.float64]
    noise_v: NDArray[np.float64]
    steps: NDArray[np.float64]
    stuck_s: NDArray[np.float64]
    stuck_at_s: NDArray[np.float64]
    frequencies_hz: NDArray[np.float64]
    power_db: NDArray[np.float64]


def statistics_of(recording: Recording) -> Statistics:
    """Look at the samples of a recording; gaps do not count."""
    n, rate = recording.n_channels, recording.sampling_rate_hz
    seen, missing, constant = 0, np.zeros(n), np.zeros(n)
    stuck, stuck_at = np.zeros(n), np.zeros(n)
    lowest, highest = np.full(n, np.inf), np.full(n, -np.inf)
    changes, alone = np.zeros(n), np.zeros(n)
    scales, noises, first_missing = [], [], None
    for block in _blocks(recording):
        parts = []
        for start, stop in block:
            x = recording.read(start, stop)
            finite = np.isfinite(x)
            seen += len(x)
            missing += (~finite).sum(axis=0)
            if first_missing is None and not finite.all():
                first = start + int(np.argmin(finite.all(axis=1)))
                first_missing = recording.start_s + first / rate
            lowest = np.fmin(lowest, np.fmin.reduce(x, axis=0))
            highest = np.fmax(highest, np.fmax.reduce(x, axis=0))
            if len(x) > 2:
                same = np.diff(x, axis=0) == 0
                constant += same.sum(axis=0) * (len(x) / (len(x) - 1))
                _longest(same, start, stuck, stuck_at)
                changes += (~same[1:-1]).sum(axis=0)
                alone += (same[:-2] & ~same[1:-1] & same[2:]).sum(axis=0)
                noises.append(_noise(x))
            parts.append(x)
        scales.append(_scale(np.concatenate(parts)))
    stored = int(recording.signal.grid.runs[:, 2].sum())
    frequencies, power = _spectrum(recording)
    return Statistics(
        seen / max(1, stored),
        missing / max(1, seen),
        first_missing,
        _median(np.array(scales)),
        constant / max(1, seen),
        np.where(highest >= lowest, highest - lowest, 0.0),
        _median(np.array(noises)) if noises else np.full(n, np.nan),
        alone / np.maximum(changes, 1),
        (stuck + (stuck > 0)) / rate,
        recording.start_s + stuck_at / rate,
        frequencies,
        power,
    )


def _blocks(recording: Recording) -> list[list[tuple[int, int]]]:
    """Blocks of the grid, each as its parts within the runs, thinned out evenly to the budget.

    Runs that are shorter than a block come together in one: what is seen of a recording, and the
    spread of a channel, do not depend on how many pauses it has.
    """
    size = max(1, BLOCK_VALUES // recording.n_channels)
    blocks: list[list[tuple[int, int]]] = []
    room = 0
    for at, _, count in recording.signal.grid.runs.tolist():
        start = at
        while start < at + count:
            if room == 0:
                blocks.append([])
                room = size
            stop = min(start + room, at + count)
            blocks[-1].append((start, stop))
            room -= stop - start
            start = stop
    most = max(1, BUDGET_VALUES // BLOCK_VALUES)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, min(most, len(blocks))).astype(int))
    return [blocks[i] for i in chosen.tolist()]


def _longest(
    same: NDArray[np.bool_], start: int, stuck: NDArray[np.float64], at: NDArray[np.float64]
) -> None:
    """Update the longest run of equal samples of each channel, in samples."""
    for channel in np.flatnonzero(same.any(axis=0)).tolist():
        changes = np.flatnonzero(~same[:, channel])
        edges = np.concatenate([[-1], changes, [len(same)]])
        lengths = np.diff(edges) - 1
        longest = int(np.argmax(lengths))
        if lengths[longest] > stuck[channel]:
            stuck[channel], at[channel] = lengths[longest], start + edges[longest] + 1


def _scale(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust standard deviation of each channel of a block, thinned out to be quick."""
    x = x[:: max(1, len(x) // 20000)]
    return ROBUST * _median(np.abs(x - _median(x)))


def _noise(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust standard deviation of the second differences of the first samples of a part."""
    return ROBUST * _median(np.abs(np.diff(x[:NOISE_SAMPLES], 2, axis=0)))


def _median(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the finite values of each column, NaN where there are none."""
    out = np.full(x.shape[1], np.nan)
    known = np.isfinite(x).any(axis=0)
    out[known] = np.nanmedian(np.where(np.isfinite(x), x, np.nan)[:, known], axis=0)
    return out


def _spectrum(recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rate = recording.sampling_rate_hz
    length = round(SPECTRUM_S * rate)
    starts = [
        start
        for at, _, count in recording.signal.grid.runs.tolist()
        for start in range(at, at + count - length + 1, length)
    ]
    if not starts or length < 16:
        return np.empty(0), np.empty(0)
    chosen = np.unique(np.linspace(0, len(starts) - 1, SPECTRUM_SEGMENTS).astype(int))
    channels = np.unique(np.linspace(0, recording.n_channels - 1, SPECTRUM_CHANNELS).astype(int))
    spectra = []
    for i in chosen.tolist():
        x = recording.read(starts[i], starts[i] + length)[:, channels]
        usable = np.isfinite(x).all(axis=0) & (np.ptp(np.nan_to_num(x), axis=0) > 0)
        if usable.any():
            frequencies, power = welch(x[:, usable], rate, nperseg=length, axis=0)
            spectra.append(10 * np.log10(np.maximum(power, 1e-300)).T)
    if not spectra:
        return np.empty(0), np.empty(0)
    return frequencies, np.median(np.concatenate(spectra), axis=0)
