"""The electrode table: a name, a region and a bad flag for every channel of a series."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from realm.recordings import hdf
from realm.recordings.fault import RecordingFaultError

NAME_COLUMNS = ("channel_name", "electrode_name", "label")
BAD_COLUMNS = ("bad", "is_bad", "bad_channel")
BAD_WORDS = ("true", "yes", "bad", "1")


class Electrodes(NamedTuple):
    """What the table says, one entry per channel in the order of the series."""

    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad_channels: tuple[bool, ...]


def read_electrodes(
    path: Path, file: h5py.File, series: str, n_channels: int, n_stored: int
) -> Electrodes:
    """Electrodes of `series`; a series without a table has channels named by their position.

    Names come from a name column with distinct entries, otherwise from the electrode ids, so that
    one electrode has one name on every day.

    Raises:
        ValueError: the number of electrodes is not the number of channels, or an electrode is
            not in the table.
    """
    region = hdf.find(file, f"{series}/electrodes")
    if not isinstance(region, h5py.Dataset):
        numbered = tuple(str(i) for i in range(n_channels))
        return Electrodes(numbered, ("",) * n_channels, (False,) * n_channels)
    rows = np.atleast_1d(region[()]).astype(np.int64)
    if len(rows) != n_channels:
        turned = len(rows) == n_stored
        raise RecordingFaultError(
            "transposed" if turned else "electrodes",
            f"{path}: expected as many electrodes as channels at {series}, got {len(rows)} "
            f"electrodes for {n_channels} channels; "
            + ("time and channels are swapped, transpose the data" if turned else "correct them"),
        )
    table = _table(file, region)
    ids = _column(table, "id")
    if ids is None or len(rows) == 0 or rows.min() < 0 or rows.max() >= len(ids):
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected the electrodes of {series} in the electrode table, which has "
            f"{0 if ids is None else len(ids)} rows, got rows up to {rows.max(initial=-1)}; "
            "correct the electrode table in the file",
        )
    names = [str(ids[row]) for row in rows]
    for column in NAME_COLUMNS:
        stored = _column(table, column)
        chosen = [hdf.text(stored[row]).strip() for row in rows] if stored is not None else []
        if chosen and all(chosen) and len(set(chosen)) == len(chosen):
            names = chosen
            break
    if len(set(names)) < len(names):
        names = [str(row) for row in rows]
    where = _column(table, "location")
    regions = [hdf.text(where[row]) if where is not None else "" for row in rows]
    return Electrodes(tuple(names), tuple(regions), tuple(_bad_flags(table, rows)))


def _table(file: h5py.File, region: h5py.Dataset) -> h5py.Group | None:
    reference = region.attrs.get("table")
    if isinstance(reference, h5py.Reference) and reference:
        return file[reference]
    found = hdf.find(file, "general/extracellular_ephys/electrodes")
    return found if isinstance(found, h5py.Group) else None


def _column(table: h5py.Group | None, name: str) -> Any:
    if table is None or not isinstance(table.get(name), h5py.Dataset):
        return None
    column = table[name]
    return None if column.external or column.is_virtual else column[:]


def _bad_flags(table: h5py.Group | None, rows: Any) -> list[bool]:
    for name in BAD_COLUMNS:
        column = _column(table, name)
        if column is None:
            continue
        if column.dtype.kind in "OSU":
            return [hdf.text(column[row]).strip().lower() in BAD_WORDS for row in rows]
        return [bool(np.nan_to_num(column[row]) != 0) for row in rows]
    return [False] * len(rows)
