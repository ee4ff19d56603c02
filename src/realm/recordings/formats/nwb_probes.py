"""Several neural series of an NWB file, one for each probe, side by side as one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf
from realm.recordings.formats.nwb_contents import choose_lfp, lfp_candidates
from realm.recordings.formats.nwb_electrodes import described, rows_of
from realm.recordings.grid import SampleGrid
from realm.recordings.recording import Signal

JOIN = " + "  # between the paths of series in the setting lfp
LENGTH_S = 1.0  # probes that stop within this time of each other are of one length


def choose_series(path: Path, file: h5py.File, lfp_path: str | None) -> list[str]:
    """The full names of the neural series: those asked for, or those of the probes of the file.

    Several are taken without being asked for where no electrode is in two of them.

    Raises:
        ValueError: there is none, or there are several to choose from; the message lists them.
    """
    if lfp_path is not None:
        return [choose_lfp(path, file, part) for part in lfp_path.split(JOIN)]
    candidates = lfp_candidates(file)
    rows = [rows_of(file, series) for series in candidates]
    tables = [hdf.find(file, f"{series}/electrodes") is not None for series in candidates]
    listed = [row for part in rows if part is not None for row in part.tolist()]
    if len(candidates) > 1 and all(tables) and len(set(listed)) == len(listed):
        return candidates
    return [choose_lfp(path, file, None)]


def side_by_side(path: Path, file: h5py.File, signals: Sequence[Signal]) -> Signal:
    """One signal of all channels; the names of its channels are those of the electrode table.

    Raises:
        ValueError: the series do not share rate, start, pauses and, to a second, their length.
    """
    if len(signals) == 1:
        return signals[0]
    first, names = signals[0], JOIN.join(signal.path for signal in signals)
    shortest = min((signal.grid for signal in signals), key=lambda grid: grid.n_samples)
    for signal in signals[1:]:
        if not _one_clock(first.grid, signal.grid):
            raise ValueError(
                f"{path}: expected series with one clock, but {first.path} has "
                f"{first.grid.rate_hz:g} Hz from {first.grid.start_s:g} s and {signal.path} has "
                f"{signal.grid.rate_hz:g} Hz from {signal.grid.start_s:g} s; set lfp to one of "
                "them, or write them on one clock"
            )
    rows = [rows_of(file, signal.path) for signal in signals]
    channels = [name for signal in signals for name in signal.channel_names]
    if all(part is not None for part in rows):
        known = np.concatenate([part for part in rows if part is not None])
        channels = list(described(path, file, first.path, known).channel_names)
    elif len(set(channels)) < len(channels):
        channels = [
            f"{signal.path.rsplit('/', 1)[-1]}_{name}"
            for signal in signals
            for name in signal.channel_names
        ]

    def read(start: int, stop: int) -> NDArray[np.float64]:
        return np.concatenate([signal.read(start, stop) for signal in signals], axis=1)

    return replace(
        first,
        path=names,
        grid=shortest,
        channel_names=tuple(channels),
        regions=tuple(region for signal in signals for region in signal.regions),
        bad_channels=tuple(bad for signal in signals for bad in signal.bad_channels),
        bits=max(signal.bits for signal in signals),
        read=read,
    )


def _one_clock(a: SampleGrid, b: SampleGrid) -> bool:
    """Whether two grids lie on each other; the last run may be up to a second longer."""
    same_runs = a.runs.shape == b.runs.shape and np.array_equal(
        a.runs.reshape(-1)[:-1], b.runs.reshape(-1)[:-1]
    )
    return bool(
        same_runs
        and abs(a.rate_hz / b.rate_hz - 1) < 1e-6
        and abs(a.start_s - b.start_s) <= 0.5 / a.rate_hz
        and abs(a.n_samples - b.n_samples) <= LENGTH_S * a.rate_hz
    )
