"""Containers of named arrays: MATLAB v5 and v7.3, npz, HDF5, Zarr and CSV.

HDF5, MATLAB v7.3 and Zarr are read by slices; the others come into memory an array at a time.
Nothing is unpickled.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf

HIDDEN_CLASSES = ("string", "categorical", "table", "datetime")


@dataclass(frozen=True)
class StoredArray:
    """An array that is read by slices.

    Attributes:
        data: anything with shape, dtype and slicing.
        turned: the axes lie in the file in reversed order, as in MATLAB v7.3.
    """

    data: Any
    turned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, in the order in which their own software shows them."""
        shape = tuple(int(n) for n in self.data.shape)
        return shape[::-1] if self.turned else shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    def read(self, *where: slice) -> NDArray[Any]:
        """The part at `where`, one slice per axis; without, all of it."""
        if self.turned:
            return np.asarray(self.data[where[::-1] or ...]).T
        return np.asarray(self.data[where or ...])


@dataclass(frozen=True)
class Container:
    """An open container.

    Attributes:
        path: of the file.
        get: the array of a name, parts separated by "/"; None if there is none.
        names: of all arrays, for people.
        text: the strings that an array of text holds.
        close: closes the file.
    """

    path: Path
    get: Callable[[str], StoredArray | None]
    names: Callable[[], list[str]]
    text: Callable[[str], list[str] | None]
    close: Callable[[], None]

    def array(self, name: str, what: str) -> StoredArray:
        """The numbers called `name`, or a ValueError that lists what there is."""
        found = self._find(name)
        if found is None or found.dtype.kind not in "iufb":
            kind = "none" if found is None else str(found.dtype)
            listed = ", ".join(self.names()[:20]) or "nothing"
            raise ValueError(
                f"{self.path}: expected numbers called {name!r} for {what}, found {kind}; this "
                f"file has: {listed}. Correct the name in the description"
            )
        return found

    def strings(self, name: str, what: str) -> tuple[str, ...]:
        """The list of texts called `name`, or a ValueError."""
        for spelled in (name, name.replace(".", "/")):
            found = self.text(spelled)
            if found is not None:
                return tuple(found)
            numbers = self.get(spelled)
            if numbers is not None and numbers.dtype.kind in "iuf" and max(numbers.shape) < 1e5:
                return tuple(f"{number:g}" for number in numbers.read().reshape(-1).tolist())
        raise ValueError(
            f"{self.path}: expected a list of texts called {name!r} for {what}, found none; this "
            f"file has: {', '.join(self.names()[:20])}. Correct the name in the description"
        )

    def _find(self, name: str) -> StoredArray | None:
        found = self.get(name)
        return self.get(name.replace(".", "/")) if found is None else found


def open_container(path: Path) -> Container:
    """Open a container by the ending of its name.

    Raises:
        ValueError: it is missing, damaged or of an unknown kind.
    """
    if not path.exists():
        raise ValueError(f"{path}: expected a file of arrays here, found none; check the path")
    suffix = path.suffix.lower()
    try:
        if suffix == ".mat":
            return _hdf5(path, turned=True) if hdf.is_hdf5(path) else _mat5(path)
        if suffix in (".h5", ".hdf5"):
            return _hdf5(path, turned=False)
        openers = {".npz": _npz, ".zarr": _zarr, ".csv": _csv}
        if suffix in openers:
            return openers[suffix](path)
    except (OSError, zipfile.BadZipFile, NotImplementedError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a file of arrays, but it cannot be opened ({error}); it is "
            "truncated or of another format, copy or export it again"
        ) from error
    raise ValueError(
        f"{path}: expected .mat, .npz, .h5, .hdf5, .zarr or .csv, got {suffix!r}; export the "
        "arrays to one of these"
    )


def _in_memory(path: Path, arrays: dict[str, NDArray[Any]]) -> Container:
    def get(name: str) -> StoredArray | None:
        return StoredArray(arrays[name]) if name in arrays else None

    def text(name: str) -> list[str] | None:
        found = arrays.get(name)
        return None if found is None or found.dtype.kind not in "OUS" else _texts(found)

    return Container(path, get, lambda: sorted(arrays), text, lambda: None)


def _mat5(path: Path) -> Container:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except (ValueError, TypeError, IndexError, MatReadError) as error:
        raise OSError(str(error)) from error
    arrays: dict[str, NDArray[Any]] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
            for field in value.dtype.names:
                add(f"{name}/{field}", value.reshape(-1)[0][field])
        elif isinstance(value, np.ndarray) and value.dtype.names:  # an array of structures
            for field in value.dtype.names:
                arrays[f"{name}/{field}"] = value[field]
        elif isinstance(value, np.ndarray):
            arrays[name] = value

    for name, value in content.items():
        if not name.startswith("__"):
            add(name, value)
    return _in_memory(path, arrays)


def _npz(path: Path) -> Container:
    file = np.load(path)

    def get(name: str) -> StoredArray | None:
        return StoredArray(_plain(path, file, name)) if name in file.files else None

    def text(name: str) -> list[str] | None:
        found = _plain(path, file, name) if name in file.files else None
        return None if found is None or found.dtype.kind not in "US" else _texts(found)

    return Container(path, get, lambda: sorted(file.files), text, file.close)


def _plain(path: Path, file: Any, name: str) -> NDArray[Any]:
    try:
        found: NDArray[Any] = file[name]
    except ValueError as error:
        raise ValueError(
            f"{path}: expected plain numbers or text at {name!r}, but {error}; save it with "
            "numpy as an array of numbers"
        ) from error
    return found


def _csv(path: Path) -> Container:
    """Columns of numbers by the names in the first line; what is no number is missing.

    Columns are separated by commas, semicolons or tabs; with one of the latter two, numbers may
    have a decimal comma.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    first, _, rest = text.partition("\n")
    separator = max(",;\t", key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    if not names or any(_is_number(name) for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f"{path}: expected a first line with the names of the columns, each once, got "
            f"{first[:80]!r}; write one into the file"
        )
    rest = rest if separator == "," else rest.replace(",", ".")
    lines = [line for line in rest.splitlines() if line.strip()]
    table: NDArray[np.float64] = np.genfromtxt(lines, delimiter=separator, comments="\0", ndmin=2)
    if table.shape[1] != len(names) and table.size:
        raise ValueError(
            f"{path}: expected {len(names)} columns as in its first line, got {table.shape[1]}; "
            "correct the file"
        )
    return _in_memory(
        path, {name: table[:, i] for i, name in enumerate(names)} if table.size else {}
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


LARGE_BYTES = 64 << 20  # a smaller array costs little, even if most of it is missing
MOST_COMPRESSED = 2000  # more than compression makes of zeros


def _zarr(path: Path) -> Container:
    import zarr

    root = zarr.open_group(path, mode="r")

    def get(name: str) -> StoredArray | None:
        node = root.get(name)
        if not isinstance(node, zarr.Array):
            return None
        stored = sum(f.stat().st_size for f in (path / name).rglob("*") if f.is_file())
        if node.nbytes > max(LARGE_BYTES, MOST_COMPRESSED * stored):
            raise ValueError(
                f"{path}: expected the data that the shape {node.shape} of {name!r} asks for, "
                f"found {stored} bytes; it is damaged or not whole, copy it again"
            )
        return StoredArray(node)

    def text(name: str) -> list[str] | None:
        found = get(name)
        return None if found is None or found.dtype.kind in "iufb" else _texts(found.read())

    return Container(path, get, lambda: sorted(name for name, _ in root.arrays()), text, _nothing)


def _nothing() -> None:
    """Nothing stays open."""


def _hdf5(path: Path, turned: bool) -> Container:
    file = hdf.open_hdf5(path)

    def node(name: str) -> h5py.Dataset | None:
        found = hdf.find(file, name)
        return found if isinstance(found, h5py.Dataset) else None

    def get(name: str) -> StoredArray | None:
        found = node(name)
        return None if found is None else StoredArray(found, turned)

    def text(name: str) -> list[str] | None:
        found = node(name)
        if found is None:
            return None
        kind = hdf.text(found.attrs.get("MATLAB_class", ""))
        if kind in HIDDEN_CLASSES:
            raise ValueError(
                f"{path}: expected texts at {name!r}, but MATLAB hides what a {kind} holds in its "
                f"v7.3 files; save it with cellstr({name})"
            )
        if h5py.check_ref_dtype(found.dtype) is h5py.Reference:  # a cell or struct array of MATLAB
            return [
                "".join(_matlab_rows(hdf.referenced(file, r))) for r in found[...].T.reshape(-1)
            ]
        if kind == "char":
            return [] if "MATLAB_empty" in found.attrs else _matlab_rows(found)
        return _texts(found[...]) if found.dtype.kind in "OSU" else None

    def names() -> list[str]:
        found: list[str] = []
        file.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
        return [name for name in found if not name.startswith("#")]

    return Container(path, get, names, text, file.close)


def _matlab_rows(char: h5py.Dataset) -> list[str]:
    """The rows of a char matrix: codes of UTF-16, the axes in reversed order."""
    if "MATLAB_empty" in char.attrs:
        return []
    codes = np.atleast_2d(np.asarray(char[...]).T)
    return ["".join(chr(code) for code in row if code).strip() for row in codes.tolist()]


def _texts(array: NDArray[Any]) -> list[str]:
    """Every text of an array, each row of a matrix of single letters.

    A cell of MATLAB v5 is an array of its own.
    """
    letters = (
        array.dtype.kind in "SU"
        and array.dtype.itemsize == np.dtype(f"{array.dtype.kind}1").itemsize
    )
    if letters and array.ndim == 2 and array.shape[1] > 1:
        return [
            "".join(hdf.text(letter) or " " for letter in row).strip() for row in array.tolist()
        ]
    return [_text(item) for item in array.reshape(-1)]


def _text(item: Any) -> str:
    if isinstance(item, np.ndarray) and item.size == 0:
        return ""
    return hdf.text(item).strip()
