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

from realm.recordings.channels import check_units, distinct, finished, is_electrode
from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.edf_header import EdfSignal, read_edf
from realm.recordings.grid import SampleGrid, from_segments
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
    named = [s for s in in_volts if is_electrode(name=s.label)] or in_volts
    for s in named:
        _check_range(path, s)
    rate = Counter(s.sampling_frequency for s in named).most_common(1)[0][0]
    neural = [s for s in in_volts if s.sampling_frequency == rate and _has_range(s)]
    others = [s for s in edf.signals if s not in neural]
    together = [s for s in edf.signals if s.sampling_frequency == rate]
    check_units(
        path,
        [s.label for s in together],
        [s.physical_dimension for s in together],
        [s in neural for s in together],
    )
    record_s = float(edf.data_record_duration)
    stated = edf.onsets_s
    regular = record_s * np.arange(edf.num_data_records, dtype=np.float64)
    onsets = np.asarray(regular if stated is None else stated, dtype=np.float64)
    labels = distinct([s.label for s in others])
    behavior = NamedBehavior(
        {
            label: partial(_behavior, path, label, signal, onsets)
            for label, signal in zip(labels, others, strict=True)
        }
    )
    signal = _signal(neural, _grid(path, onsets, neural[0], record_s))
    return Recording(
        path, named_after_file(path, edf.startdatetime), signal, (behavior,), lambda: None
    )


def _signal(signals: list[EdfSignal], grid: SampleGrid) -> Signal:
    volts = np.array([volts_per(s.physical_dimension) for s in signals], dtype=np.float64)

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.stack([s.read(first, stop) for s in signals], axis=1) * volts

    names = distinct([s.label for s in signals])
    n = len(signals)
    return Signal("signals", grid, tuple(names), ("",) * n, (False,) * n, 16, read)


def _has_range(signal: EdfSignal) -> bool:
    return signal.physical_min != signal.physical_max and signal.digital_min != signal.digital_max


def _check_range(path: Path, s: EdfSignal) -> None:
    """Raise where the header does not say what one count is."""
    if not _has_range(s):
        raise RecordingFaultError(
            "conversion",
            f"{path}: expected a physical and a digital range for {s.label}, got "
            f"{s.physical_min:g} to {s.physical_max:g} {s.physical_dimension} for "
            f"{s.digital_min} to {s.digital_max}; correct the header of the file",
        )


def _behavior(path: Path, label: str, signal: EdfSignal, onsets: NDArray[np.float64]) -> TimeSeries:
    """A signal at the times of its records, whatever its rate: none drifts from another."""
    _check_range(path, signal)
    unit = signal.physical_dimension or "arbitrary"
    values = np.asarray(signal.data, dtype=np.float64).reshape(-1, 1)
    within = np.arange(signal.samples_per_data_record) / float(signal.sampling_frequency)
    times = (onsets[:, None] + within).reshape(-1)
    return finished(path, label, times, values, unit, (label,))


def _grid(
    path: Path, onsets: NDArray[np.float64], signal: EdfSignal, record_s: float
) -> SampleGrid:
    """A segment ends where the next record begins half a sample from where it should."""
    rate = float(signal.sampling_frequency)
    first = [0]
    for record, onset in enumerate(onsets.tolist()):
        expected = onsets[first[-1]] + (record - first[-1]) * record_s
        if abs(onset - expected) > 0.5 / rate:
            first.append(record)
    counts = np.diff([*first, len(onsets)]) * signal.samples_per_data_record
    starts = onsets[first].tolist()
    return from_segments(path, "the data records", rate, starts, counts.tolist())
