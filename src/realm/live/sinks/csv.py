"""Decoded behavior as lines of text: readable at every instant, also after a crash.

Every call of `write` adds whole lines or none. What it wrote outlives the process (a power failure
can take the last seconds, which the system had not put on the disk).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from realm.files import make_folder
from realm.live.outputs import Column, OutputInfo, Outputs, is_behavior, log_columns, values
from realm.live.sinks import Counters, Sink
from realm.locks import lock
from realm.systems import open_file, read_at, write_at

LONGEST_HEADER = 1 << 20  # bytes


class CSVLog(Sink):
    """Writes one line per bin; columns as in `realm.live.outputs`, behavior with its unit.

    A line that a full disk or a crash cut short is removed before the next one is written.

    Args:
        path: of the file; one that exists is never written over.
        append: continue the file if it exists and has the same columns.
    """

    def __init__(self, path: Path | str, append: bool = False) -> None:
        self.path, self.append = Path(path), append
        self._info: OutputInfo | None = None
        self._file: int | None = None
        self._texts: list[Callable[[Any], str]] = []  # of each column
        self._whole = 0  # bytes that are whole lines

    def open(self, info: OutputInfo) -> None:
        """Create the file, or continue it.

        Raises:
            ValueError: it exists and may not be appended to, has other columns, or another process
                writes it.
            OSError: it cannot be written.
        """
        self.close()
        header = ",".join(_quoted(heading) for heading in headings(info)) + "\n"
        make_folder(self.path.parent)
        own = self.append or self._info is not None  # opened again after `close`
        self._file = _opened(self.path, own)
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise ValueError(f"{self.path}: expected a plain file for the log; name another")
            lock(self._file, self.path)
            self._whole = _whole_lines(self.path, self._file, header)
            if not self._whole:
                self._add(header)
        except BaseException:
            self.close()
            raise
        self._info = info
        self._texts = [_text(column) for _, column in log_columns(info)]

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
            [text(value) for value in column.tolist()]
            for text, column in zip(self._texts, values(outputs), strict=True)
        ]
        self._add("".join(",".join(row) + "\n" for row in zip(*cells, strict=True)))

    def close(self) -> None:
        """Close the file; does nothing when closed."""
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
                done += write_at(self._file, content[done:], self._whole + done)
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
    return [
        f"{name} [{column.unit}]" if is_behavior(name) else name
        for name, column in log_columns(info)
    ]


def _opened(path: Path, may_exist: bool) -> int:
    flags = os.O_RDWR | os.O_CREAT | (0 if may_exist else os.O_EXCL)
    try:
        return open_file(path, flags)
    except FileExistsError:
        raise ValueError(
            f"{path}: expected a new file for the log, found one that exists; name another, or "
            f"add to it with csv:{path}?append=yes"
        ) from None


def _whole_lines(path: Path, file: int, header: str) -> int:
    """How many bytes of the file are whole lines; the first must be the header."""
    size = os.fstat(file).st_size
    expected = header.encode()
    found = read_at(file, len(expected), 0)
    if expected.startswith(found) and len(found) < len(expected):
        return 0  # empty, or cut within the header
    if found != expected:
        raise ValueError(
            f"{path}: expected a log with the columns {header.strip()}, found others; name "
            "another file"
        )
    while read_at(file, 1, size - 1) != b"\n":
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


def _text(column: Column) -> Callable[[Any], str]:
    """How a value of this column is written."""
    if column.dtype is float:
        return f"{{:{column.text}}}".format if column.text else _number
    return _flag if column.dtype is bool else str
