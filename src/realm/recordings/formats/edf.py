"""EDF and EDF+: signals in volts at one rate; all others are behavior at their own rates.

A discontinuous file (EDF+D) says when each of its records began; what lies between is a gap.
Format: Kemp and Olivan 2003, https://www.edfplus.info.
"""

from __future__ import annotations

import warnings
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import finished, is_electrode
from realm.recordings.fault import RecordingFaultError
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
    from edfio import read_edf

    try:
        edf = read_edf(path)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise ValueError(
            f"{path}: expected an EDF file, but it cannot be read ({error}); it is truncated or of "
            "another format, copy or export it again"
        ) from error
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
    onsets = _onsets(path)
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
        path, named_after_file(path, _started_at(edf)), signal, (behavior,), lambda: None
    )


def _started_at(edf: Any) -> datetime | None:
    """Date and time of the header; None where they are left out or not valid."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the older field may say another date
            found: datetime = edf.startdatetime
    except ValueError:
        return None
    return found


def _signal(signals: list[Any], grid: SampleGrid) -> Signal:
    volts = np.array([volts_per(s.physical_dimension) for s in signals], dtype=np.float64)

    def read(first: int, stop: int) -> NDArray[np.float64]:
        rate = signals[0].sampling_frequency
        columns = [s.get_data_slice(first / rate, stop / rate) for s in signals]
        return np.stack(columns, axis=1) * volts

    names = [s.label for s in signals]
    if len(set(names)) < len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    n = len(signals)
    return Signal("signals", grid, tuple(names), ("",) * n, (False,) * n, 16, read)


def _behavior(path: Path, signal: Any, grid: SampleGrid) -> TimeSeries:
    unit = signal.physical_dimension or "arbitrary"
    values = np.asarray(signal.data, dtype=np.float64).reshape(-1, 1)
    return finished(path, signal.label, grid.times_s(), values, unit, (signal.label,))


def _grid(
    path: Path, onsets: NDArray[np.float64] | None, signal: Any, n_records: int, record_s: float
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


def _onsets(path: Path) -> NDArray[np.float64] | None:
    """When each data record began, in seconds; None where the file is continuous."""
    with path.open("rb") as stream:
        header = stream.read(256)
        if not header[192:236].decode("ascii", "replace").strip().startswith("EDF+D"):
            return None
        n_signals = int(header[252:256])
        signals = stream.read(256 * n_signals)
        labels = [signals[16 * i : 16 * i + 16].decode().strip() for i in range(n_signals)]
        counts = [int(signals[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
        before = 2 * sum(counts[: labels.index("EDF Annotations")])
        start, size = int(header[184:192]), 2 * sum(counts)
        onsets = []
        for record in range(int(header[236:244])):
            stream.seek(start + record * size + before)
            first, mark, _ = stream.read(64).partition(b"\x14")
            if not mark:
                raise ValueError(
                    f"{path}: expected the time of data record {record}, found none; the file is "
                    "damaged, export it again"
                )
            onsets.append(float(first))
    return np.asarray(onsets)
