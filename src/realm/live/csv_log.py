"""Decoded behavior as lines of text: readable at every instant, also after a crash.

Every call of `write` adds whole lines or none. What it wrote outlives the process (a power failure
can take the last seconds, which the system had not put on the disk).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from realm.files import make_folder
from realm.live.log_table import TRUE, column_names, columns
from realm.live.sink import Counters, OutputInfo, Outputs

LONGEST_HEADER = 1 << 20  # bytes


class CSVLog:
    """Writes one line per bin; columns as in `log_table.py`, the behavior's unit in its heading.

    A line that a full disk or a crash cut short is removed before the next one is written.

    Args:
        path: of the file; one that exists is never written over.
        append: go on with the file if it exists and has the same columns.
    """

    def __init__(self, path: Path | str, append: bool = False) -> None:
        self.path, self.append = Path(path), append
        self._info: OutputInfo | None = None
        self._file: int | None = None
        self._whole = 0  # bytes that are whole lines

    def open(self, info: OutputInfo) -> None:
        """Begin the file, or go on with it.

        Raises:
            ValueError: it exists and may not be appended to, or has other columns.
            OSError: it cannot be written.
        """
        self.close()
        header = ",".join(_quoted(heading) for heading in headings(info)) + "\n"
        make_folder(self.path.parent)
        own = self.append or self._info is not None  # opened again after it was closed
        self._file = _opened(self.path, own)
        try:
            self._whole = _whole_lines(self.path, self._file, header)
            if not self._whole:
                self._add(header)
        except BaseException:
            self.close()
            raise
        self._info = info

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Add the rows as lines.

        Raises:
            OSError: none of them was added; the next call may succeed.
        """
        if self._file is None or self._info is None:
            raise OSError(errno.EBADF, f"{self.path}: expected an open log; open it first")
        if os.fstat(self._file).st_nlink == 0:
            raise OSError(errno.ENOENT, f"{self.path}: the log was removed while it was written")
        cells = [
            [shown(value) for value in values.tolist()]
            for name, values in columns(self._info, outputs).items()
            for shown in (_FORMATS.get(name.removeprefix(TRUE), _number),)
        ]
        self._add("".join(",".join(row) + "\n" for row in zip(*cells, strict=True)))

    def close(self) -> None:
        """Close the file; harmless when closed."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _add(self, text: str) -> None:
        """Add whole lines at the end of the whole lines, or none."""
        assert self._file is not None
        content = text.encode()
        try:
            os.ftruncate(self._file, self._whole)  # of what an earlier failure may have left
            done = 0
            while done < len(content):
                done += os.pwrite(self._file, content[done:], self._whole + done)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._whole)
            raise OSError(
                error.errno,
                f"{self.path}: {error.strerror}; the rows before are kept. Free space on the disk",
            ) from error
        self._whole += len(content)


def headings(info: OutputInfo) -> list[str]:
    """The first line: names of the columns, behavior with its unit."""
    dims = {*info.behavior_names, *(TRUE + name for name in info.behavior_names)}
    return [
        f"{name} [{info.behavior_unit}]" if name in dims else name for name in column_names(info)
    ]


def _opened(path: Path, may_exist: bool) -> int:
    flags = os.O_RDWR | os.O_CREAT | (0 if may_exist else os.O_EXCL)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        raise ValueError(
            f"{path}: expected a new file for the log, found one that exists; name another, or "
            f"add to it with csv:{path}?append=yes"
        ) from None


def _whole_lines(path: Path, file: int, header: str) -> int:
    """How many bytes of the file are whole lines; the first must be the header."""
    size = os.fstat(file).st_size
    expected = header.encode()
    found = os.pread(file, len(expected), 0)
    if expected.startswith(found) and len(found) < len(expected):
        return 0  # empty, or cut within the header
    if found != expected:
        raise ValueError(
            f"{path}: expected a log with the columns {header.strip()}, found others; name "
            "another file"
        )
    while os.pread(file, 1, size - 1) != b"\n":
        size -= 1
    return size


def _quoted(text: str) -> str:
    if any(character in text for character in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def _flag(value: bool) -> str:
    return "1" if value else "0"


_FORMATS: dict[str, Callable[[Any], str]] = {
    "bin": str,
    "time_s": "{:.6f}".format,
    "latency_ms": "{:.4f}".format,
    "filled_share": "{:.4f}".format,
    "bad_channels": str,
    "clipped_channels": str,
    "gap": _flag,
    "neutral": _flag,
    "held": _flag,
}
