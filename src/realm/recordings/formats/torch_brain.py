"""Sessions that a pipeline of torch_brain wrote: `Data` with a regular time series of channels.

A gap is a break in the domain of the series. torch_brain keeps no units, so a description beside
the file must state that of the samples: `unit = "uV"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf
from realm.recordings.channels import finished
from realm.recordings.description import FOLDER_DESCRIPTION, find_description
from realm.recordings.fault import RecordingFaultError
from realm.recordings.grid import SampleGrid, check_count, check_increasing
from realm.recordings.recording import (
    Identity,
    NamedBehavior,
    Recording,
    Signal,
    TimeSeries,
    iso_time,
    joined,
    named_after_file,
)
from realm.volts import VOLTS_PER

NEURAL_WORDS = ("lfp", "ecog", "seeg", "ieeg", "eeg")
REGULAR, IRREGULAR = "RegularTimeSeries", "IrregularTimeSeries"


def open_torch_brain(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a session; `lfp_path` names an array inside it, such as "lfp/values".

    Raises:
        ValueError: no unit is stated, or there is no one array of channels; they are listed.
    """
    file = hdf.open_hdf5(path)
    try:
        description = find_description(path)
        if description is None or description.unit is None:
            raise ValueError(
                f"{path}: expected the unit of its samples, which torch_brain does not keep; write "
                f'unit = "uV" (or what it is) into a {FOLDER_DESCRIPTION} beside it'
            )
        fields = dict(_fields(file))
        chosen = _choose(path, fields, lfp_path)
        signal = _signal(path, file, fields[chosen], chosen, VOLTS_PER[description.unit])
        behavior = NamedBehavior(
            {
                name: partial(_behavior, path, name, field)
                for name, field in fields.items()
                if name != chosen
            }
        )
        return Recording(path, _identity(path, file), signal, (behavior,), file.close)
    except BaseException:
        file.close()
        raise


def _fields(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Arrays of numbers in time, with one or two axes, by path."""

    def walk(name: str) -> Iterator[tuple[str, h5py.Dataset]]:
        for path, group in hdf.children(file, name):
            kind = hdf.text(group.attrs.get("object", ""))
            if kind in (REGULAR, IRREGULAR):
                for key in sorted(group):
                    node = hdf.find(file, f"{path}/{key}")
                    own = key in ("timestamps", "timestamp_indices_1s")
                    if isinstance(node, h5py.Dataset) and not own and _is_numbers(node):
                        yield f"{path}/{key}", node
            elif kind == "Data":
                yield from walk(path)

    return walk("")


def _is_numbers(node: h5py.Dataset) -> bool:
    return node.dtype.kind in "iuf" and node.ndim in (1, 2) and node.shape[0] > 1


def _choose(path: Path, fields: dict[str, h5py.Dataset], asked: str | None) -> str:
    regular = [n for n, f in fields.items() if hdf.text(f.parent.attrs["object"]) == REGULAR]
    if asked is not None:
        found = [name for name in regular if name == asked.replace(".", "/")]
    else:
        found = [name for name in regular if fields[name].ndim == 2]
        named = [n for n in found if any(word in n.lower() for word in NEURAL_WORDS)]
        found = named or found
    if len(found) != 1:
        wanted = "one regular series of channels" if asked is None else f"one at {asked!r}"
        raise ValueError(
            f"{path}: expected {wanted}, this file has: {', '.join(regular) or 'none'}. Set lfp to "
            "one of these"
        )
    return found[0]


def _signal(path: Path, file: h5py.File, field: h5py.Dataset, name: str, volts: float) -> Signal:
    n = 1 if field.ndim == 1 else int(field.shape[1])
    if n > len(field):
        raise RecordingFaultError(
            "transposed",
            f"{path}: expected time first at {name}, got shape {field.shape}; time and channels "
            "are swapped, transpose the data",
        )

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.asarray(field[first:stop].reshape(stop - first, n) * volts)

    names = _texts(file, ("channels/name", "channels/id"), n) or tuple(str(i) for i in range(n))
    regions = _texts(file, ("channels/region", "channels/location"), n) or ("",) * n
    grid = _grid(path, field, name)
    bits = int(field.dtype.itemsize) * 8
    return Signal(name, grid, names, regions, (False,) * n, bits, read)


def _texts(file: h5py.File, names: tuple[str, ...], n: int) -> tuple[str, ...]:
    """The first of these that has one distinct text per channel."""
    for name in names:
        node = hdf.find(file, name)
        if isinstance(node, h5py.Dataset) and node.shape == (n,):
            found = tuple(hdf.text(value) for value in node[...].tolist())
            if name.startswith("channels/region") or len(set(found)) == n:
                return found
    return ()


def _grid(path: Path, field: h5py.Dataset, name: str) -> SampleGrid:
    """The grid of a regular series; its array also holds fill values where its domain breaks."""
    group = field.parent
    rate = hdf.number(group.attrs["sampling_rate"])
    starts, ends = group["domain/start"][...], group["domain/end"][...]
    check_increasing(path, f"the domain of {name}", starts)
    first = np.rint((starts - starts[0]) * rate).astype(np.int64)
    last = np.minimum(np.rint((ends - starts[0]) * rate).astype(np.int64), len(field))
    runs = np.stack([first, first, last - first], axis=1)
    return SampleGrid(rate, float(starts[0]), int(last[-1]), runs[runs[:, 2] > 0])


def _behavior(path: Path, name: str, field: h5py.Dataset) -> TimeSeries:
    values = np.asarray(field[...], dtype=np.float64).reshape(len(field), -1)
    if hdf.text(field.parent.attrs["object"]) == REGULAR:
        grid = _grid(path, field, name)
        times = grid.start_s + np.arange(len(values)) / grid.rate_hz
        known = np.zeros(len(values), dtype=bool)
        for at, _, count in grid.runs.tolist():
            known[at : at + count] = True
        values[~known] = np.nan
    else:
        times = np.asarray(field.parent["timestamps"][...], dtype=np.float64)
        check_count(path, name, len(times), values.shape)
        check_increasing(path, name, times)
    dims = values.shape[1]
    names = tuple("xyz"[:dims]) if 1 < dims <= 3 else tuple(f"dim{i}" for i in range(dims))
    return finished(path, name, times, values, "arbitrary", names)


def _identity(path: Path, file: h5py.File) -> Identity:
    def stated(name: str, what: str = "id") -> str | None:
        group = hdf.find(file, name)
        return hdf.text(group.attrs.get(what, "")) or None if group is not None else None

    of_file = named_after_file(path, iso_time(stated("session", "recording_date") or ""))
    return joined(stated("subject"), stated("session"), of_file)
