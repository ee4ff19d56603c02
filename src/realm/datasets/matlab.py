"""Structures of MATLAB files, v5 and v7.3 alike: a list of records with named fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Struct:
    """One element of a structure array.

    Args:
        where: file and name, for messages.
        fields: name to a function that gives a MATLAB array as it is shown in MATLAB, or the
            elements of a structure array.
    """

    def __init__(self, where: str, fields: dict[str, Callable[[], Any]]) -> None:
        self.where, self._fields = where, fields

    def __contains__(self, field: str) -> bool:
        return field in self._fields

    @property
    def names(self) -> list[str]:
        """The fields."""
        return list(self._fields)

    def numbers(self, field: str) -> Numbers:
        """The numbers of a field, two axes as MATLAB shows them.

        Raises:
            ValueError: there is no such field, or it holds something else.
        """
        found = self._get(field)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "iufb":
            raise ValueError(
                f"{self.where}: expected numbers in the field {field!r}, got something else; this "
                "is not the file that the dataset's documentation describes"
            )
        return np.atleast_2d(np.asarray(found, dtype=np.float64))

    def vector(self, field: str) -> Numbers:
        """The numbers of a field that is a row or a column."""
        return self.numbers(field).reshape(-1)

    def structs(self, field: str) -> list[Struct]:
        """The elements of a field that is a structure array.

        Raises:
            ValueError: there is no such field, or it holds something else.
        """
        found = self._get(field)
        if not isinstance(found, list):
            raise ValueError(
                f"{self.where}: expected structures in the field {field!r}, got something else; "
                "this is not the file that the dataset's documentation describes"
            )
        return found

    def _get(self, field: str) -> Any:
        if field not in self._fields:
            raise ValueError(
                f"{self.where}: expected a field {field!r}, found {', '.join(self._fields)}; this "
                "is not the file that the dataset's documentation describes"
            )
        return self._fields[field]()


@contextmanager
def open_structs(path: Path, name: str) -> Iterator[list[Struct]]:
    """The elements of the structure array `name`; they can be read while the file is open.

    Raises:
        ValueError: the file cannot be read, or has no structures of that name.
    """
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if name not in file or not isinstance(file[name], h5py.Group):
                raise _absent(path, name, list(file))
            yield _hdf5_structs(file, file[name], f"{path}: {name}")
    else:
        content = _mat5(path)
        found = content.get(name)
        if not isinstance(found, np.ndarray) or not found.dtype.names:
            raise _absent(path, name, [key for key in content if not key.startswith("__")])
        yield _mat5_structs(found, f"{path}: {name}")


def _absent(path: Path, name: str, found: list[str]) -> ValueError:
    return ValueError(
        f"{path}: expected structures called {name!r}, found {', '.join(found[:20]) or 'nothing'}; "
        "this is not the file that the dataset's documentation describes"
    )


def _mat5(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content: dict[str, Any] = loadmat(path)
    except (ValueError, TypeError, IndexError, OSError, MatReadError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: expected a MATLAB file, but it cannot be read ({error}); copy it again"
        ) from error
    return content


def _mat5_structs(array: NDArray[Any], where: str) -> list[Struct]:
    assert array.dtype.names is not None
    elements = array.reshape(-1, order="F")

    def value(i: int, field: str) -> Any:
        found = elements[i][field]
        if isinstance(found, np.ndarray) and found.dtype.names:
            return _mat5_structs(found, f"{where}({i + 1}).{field}")
        return found

    def reader(i: int, field: str) -> Callable[[], Any]:
        return lambda: value(i, field)

    names = array.dtype.names
    return [
        Struct(f"{where}({i + 1})", {field: reader(i, field) for field in names})
        for i in range(len(elements))
    ]


def _hdf5_structs(file: h5py.File, group: h5py.Group, where: str) -> list[Struct]:
    """A structure array is a group whose fields are arrays of references, one for each element."""
    fields = {name: group[name] for name in group}
    length = max((node.size for node in fields.values() if _refers(node)), default=None)
    if length is None:  # a single structure holds its fields themselves
        own = {name: _reader(file, node, f"{where}.{name}") for name, node in fields.items()}
        return [Struct(where, own)]
    references = {name: node[...].T.reshape(-1, order="F") for name, node in fields.items()}
    return [
        Struct(
            f"{where}({i + 1})",
            {
                name: _reader(file, file[found[i]], f"{where}({i + 1}).{name}")
                for name, found in references.items()
            },
        )
        for i in range(length)
    ]


def _refers(node: Any) -> bool:
    """Whether a field belongs to a structure array; a cell array says that it is one."""
    return (
        isinstance(node, h5py.Dataset)
        and h5py.check_ref_dtype(node.dtype) is h5py.Reference
        and "MATLAB_class" not in node.attrs
    )


def _reader(file: h5py.File, node: Any, where: str) -> Callable[[], Any]:
    def read() -> Any:
        if isinstance(node, h5py.Group):
            return _hdf5_structs(file, node, where)
        if node.attrs.get("MATLAB_empty", 0):
            return np.zeros((0, 0))
        return np.asarray(node[...]).T

    return read
