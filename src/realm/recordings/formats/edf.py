"""EDF and EDF+: signals in volts at one rate; all others are behavior at their own rates.

A discontinuous file (EDF+D) says when each of its records began; what lies between is a gap.
Format: Kemp and Olivan 2003, https://www.edfplus.info.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import finished, is_electrode
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.edf_header import EdfSignal, read_edf
from realm.recordings.grid import SampleGrid, at_rate, from_segments
from realm.recordings.recording import (
    NamedBehavior,
    Recording,
    Signal,
    TimeSeries,
    named_after_file,
)
from realm.volts import volts_per


def open_edf(path: Path, lfp_path: str | None = None) -> Recording:
    """Open an EDF file. The neural signals are those in volts, of the commonest rate among them.

    Raises:
        ValueError: it is no EDF file, or holds no signal in volts.
    """
    edf = read_edf(path)
    in_volts = [s for s in edf.signals if is_electrode(unit=s.physical_dimension)]
    if not in_volts or lfp_path is not None:
        listed = ", ".join(f"{s.label} ({s.physical_dimension})" for s in edf.signals)
        raise ValueError(
            f"{path}: expected signals in V, mV or uV and no setting lfp, got {listed}"
            f"{'' if lfp_path is None else f' and lfp {lfp_path!r}'}; "
            "correct the units in the file, or remove lfp"
        )
    for s in in_volts:
        if s.physical_min == s.physical_max or s.digital_min == s.digital_max:
            raise RecordingFaultError(
                "conversion",
                f"{path}: expected a physical and a digital range for {s.label}, got "
                f"{s.physical_min:g} to {s.physical_max:g} {s.physical_dimension} for "
                f"{s.digital_min} to {s.digital_max}; correct the header of the file",
            )
    rate = Counter(s.sampling_frequency for s in in_volts).most_common(1)[0][0]
    neural = [s for s in in_volts if s.sampling_frequency == rate]
    others = {s.label: s for s in edf.signals if s not in neural}
    onsets = edf.onsets_s
    grids = {
        float(s.sampling_frequency): _grid(
            path, onsets, s, edf.num_data_records, edf.data_record_duration
        )
        for s in edf.signals
    }
    behavior = NamedBehavior(
        {
            label: partial(_behavior, path, signal, grids[float(signal.sampling_frequency)])
            for label, signal in others.items()
        }
    )
    signal = _signal(neural, grids[float(rate)])
    return Recording(
        path, named_after_file(path, edf.startdatetime), signal, (behavior,), lambda: None
    )


def _signal(signals: list[EdfSignal], grid: SampleGrid) -> Signal:
    volts = np.array([volts_per(s.physical_dimension) for s in signals], dtype=np.float64)

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.stack([s.read(first, stop) for s in signals], axis=1) * volts

    names = [s.label for s in signals]
    if len(set(names)) < len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    n = len(signals)
    return Signal("signals", grid, tuple(names), ("",) * n, (False,) * n, 16, read)


def _behavior(path: Path, signal: EdfSignal, grid: SampleGrid) -> TimeSeries:
    unit = signal.physical_dimension or "arbitrary"
    values = np.asarray(signal.data, dtype=np.float64).reshape(-1, 1)
    return finished(path, signal.label, grid.times_s(), values, unit, (signal.label,))


def _grid(
    path: Path,
    onsets: NDArray[np.float64] | None,
    signal: EdfSignal,
    n_records: int,
    record_s: float,
) -> SampleGrid:
    rate, n_stored = float(signal.sampling_frequency), n_records * signal.samples_per_data_record
    if onsets is None:
        return at_rate(rate, 0.0, n_stored)
    per_record = round(rate * record_s)
    new = np.flatnonzero(np.abs(np.diff(onsets) - record_s) > 0.5 / rate) + 1
    first = np.array([0, *new, len(onsets)])
    return from_segments(
        path,
        "the data records",
        rate,
        onsets[first[:-1]].tolist(),
        (np.diff(first) * per_record).tolist(),
    )
