"""The electrode table of an NWB file: names, regions and flags of the channels of a series.

A column of the table may be plain, ragged (a `VectorIndex` says where the entries of a row end) or
enumerated (`EnumData`: numbers that stand for texts). Format: HDMF common, DynamicTable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf
from realm.recordings.fault import RecordingFaultError

NAME_COLUMNS = ("channel_name", "electrode_name", "label")
BAD_COLUMNS = ("bad", "is_bad", "bad_channel")
BAD_WORDS = ("true", "yes", "bad", "1")

Cells = list[list[Any]]  # the entries of every row


class Electrodes(NamedTuple):
    """What the table says, one entry per channel in the order of the series."""

    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad_channels: tuple[bool, ...]


def read_electrodes(
    path: Path, file: h5py.File, series: str, n_channels: int, n_stored: int
) -> Electrodes:
    """Electrodes of `series`; a series without a table has channels named by their position.

    Raises:
        ValueError: the number of electrodes is not the number of channels, or an electrode is
            not in the table, or there twice.
    """
    rows = rows_of(file, series)
    if rows is None:
        numbered = tuple(str(i) for i in range(n_channels))
        return Electrodes(numbered, ("",) * n_channels, (False,) * n_channels)
    if len(rows) != n_channels:
        turned = len(rows) == n_stored
        raise RecordingFaultError(
            "transposed" if turned else "electrodes",
            f"{path}: expected as many electrodes as channels at {series}, got {len(rows)} "
            f"electrodes for {n_channels} channels; "
            + ("time and channels are swapped, transpose the data" if turned else "correct them"),
        )
    return described(path, file, series, rows)


def rows_of(file: h5py.File, series: str) -> NDArray[np.int64] | None:
    """Rows of the table that the channels of `series` come from; None where it names none."""
    region = hdf.find(file, f"{series}/electrodes")
    if not isinstance(region, h5py.Dataset):
        return None
    return np.atleast_1d(region[()]).astype(np.int64).reshape(-1)


def described(path: Path, file: h5py.File, series: str, rows: NDArray[np.int64]) -> Electrodes:
    """What the table of `series` says of its `rows`.

    Names come from a name column with distinct entries, otherwise from the electrode ids, so that
    one electrode has one name on every day.

    Raises:
        ValueError: an electrode is not in the table, or there twice.
    """
    table = _table(file, series)
    ids = [] if table is None else cells_of(file, table, "id") or []
    if len(rows) == 0 or rows.min() < 0 or rows.max() >= len(ids):
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected the electrodes of {series} in the electrode table, which has "
            f"{len(ids)} rows, got rows up to {rows.max(initial=-1)}; correct the electrode table "
            "in the file",
        )
    if len(set(rows.tolist())) < len(rows):
        raise RecordingFaultError(
            "electrodes",
            f"{path}: expected an electrode of its own for every channel of {series}, got one row "
            "of the electrode table more than once; correct the electrodes of the series",
        )
    assert table is not None
    return Electrodes(
        tuple(_names(file, table, ids, rows)),
        tuple(
            " / ".join(text for entry in cell if (text := hdf.text(entry).strip()))
            for cell in _column(file, table, "location", rows)
        ),
        tuple(_bad_flags(file, table, rows)),
    )


def cells_of(file: h5py.File, table: str, name: str) -> Cells | None:
    """The entries of every row of a column; None where there is no such column, or a deeper one.

    A plain column has one entry in each row. Numbers of an enumerated column become their texts.
    """
    column = hdf.find(file, f"{table}/{name}")
    if not isinstance(column, h5py.Dataset) or column.ndim == 0:
        return None
    values = _texts_for(file, table, name, column, column[:])
    ends = hdf.find(file, f"{table}/{name}_index")
    if not isinstance(ends, h5py.Dataset):
        return [list(np.ravel(value)) for value in values]
    if isinstance(hdf.find(file, f"{table}/{name}_index_index"), h5py.Dataset):
        return None
    stops = ends[:].astype(np.int64).reshape(-1)
    starts = np.concatenate([[0], stops[:-1]])
    return [
        list(np.ravel(values[a:b])) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)
    ]


def _texts_for(
    file: h5py.File, table: str, name: str, column: h5py.Dataset, values: NDArray[Any]
) -> NDArray[Any]:
    """The texts that numbers of an enumerated column stand for; other values as they are."""
    words = h5py.check_enum_dtype(column.dtype)
    if words and column.dtype != np.dtype(bool) and values.dtype.kind in "iu":
        known = {number: word for word, number in words.items()}
        return _looked_up(values, known)
    elements: Any = column.attrs.get("elements")
    if isinstance(elements, h5py.Reference) and elements:
        elements = hdf.referenced(file, elements)
    else:
        elements = hdf.find(file, f"{table}/{name}_elements")
    if not isinstance(elements, h5py.Dataset) or values.dtype.kind not in "iu":
        return values
    return _looked_up(values, {i: hdf.text(word) for i, word in enumerate(elements[:])})


def _looked_up(values: NDArray[Any], known: dict[int, str]) -> NDArray[Any]:
    found = np.empty(values.shape, dtype=object)
    for place, number in np.ndenumerate(values):
        found[place] = known.get(int(number), "")
    return found


def _table(file: h5py.File, series: str) -> str | None:
    """Path of the table that the electrodes of `series` lie in."""
    region = hdf.find(file, f"{series}/electrodes")
    reference = None if region is None else region.attrs.get("table")
    if isinstance(reference, h5py.Reference) and reference:
        return str(hdf.referenced(file, reference).name)
    name = "general/extracellular_ephys/electrodes"
    return name if isinstance(hdf.find(file, name), h5py.Group) else None


def _column(file: h5py.File, table: str, name: str, rows: NDArray[np.int64]) -> Cells:
    """The entries of some rows; none where there is no such column or it is too short."""
    cells = cells_of(file, table, name)
    if cells is None or rows.max() >= len(cells):
        return [[] for _ in rows]
    return [cells[row] for row in rows]


def _names(file: h5py.File, table: str, ids: Cells, rows: NDArray[np.int64]) -> list[str]:
    for column in NAME_COLUMNS:
        cells = _column(file, table, column, rows)
        chosen = [hdf.text(cell[0]).strip() if cell else "" for cell in cells]
        if all(chosen) and len(set(chosen)) == len(chosen):
            return chosen
    named = [hdf.text(ids[row][0]) if ids[row] else "" for row in rows]
    return named if len(set(named)) == len(named) else [str(row) for row in rows]


def _bad_flags(file: h5py.File, table: str, rows: NDArray[np.int64]) -> list[bool]:
    for name in BAD_COLUMNS:
        cells = _column(file, table, name, rows)
        if any(cells):
            return [any(_is_bad(entry) for entry in cell) for cell in cells]
    return [False] * len(rows)


def _is_bad(entry: Any) -> bool:
    if isinstance(entry, str | bytes):
        return hdf.text(entry).strip().lower() in BAD_WORDS
    return bool(np.nan_to_num(entry) != 0)
