"""One process at a time: locks that end with the process that holds them, also when it is killed.

The system keeps the lock, not the file. What a killed process leaves of it is an empty file, which
stops nobody. Where the file system has no locks, nothing is locked.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from realm import systems


def lock(handle: int, path: Path) -> None:
    """Lock an open file or folder until it is closed.

    Raises:
        ValueError: another process uses it; the message names `path`.
    """
    if not systems.lock(handle):
        raise ValueError(
            f"{path}: expected one process to write here, but another one does at this "
            "moment; wait for it, stop it, or name another place"
        )


class Lock:
    """The lock of a file that is replaced as a whole, or of a folder, for a `with` block.

    A folder is locked itself; of a file, an empty one beside it, which is removed at the end. On
    Windows, which cannot open folders, it is an empty file in the folder.

    Raises:
        ValueError: another process holds the lock.
        OSError: the folder cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        itself = path.is_dir() and not systems.WINDOWS
        within = path / ".folder.lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
        self._beside = None if itself else within
        self._handle = -1
        while self._handle < 0:
            self._handle = self._opened(path)

    def _opened(self, path: Path) -> int:
        """The open and locked file; -1 if its last holder removed it at this moment."""
        flags = os.O_RDWR | os.O_CREAT if self._beside else os.O_RDONLY
        handle = systems.open_file(self._beside or path, flags)
        try:
            lock(handle, path)
            if self._beside is None or os.fstat(handle).st_nlink:
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return -1

    def close(self) -> None:
        """Free the lock; does nothing when it is free."""
        if self._handle < 0:
            return
        if not systems.WINDOWS:  # there it can be removed only when nobody has it open
            self._remove()
        os.close(self._handle)
        self._handle = -1
        if systems.WINDOWS:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._beside is not None:
                self._beside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
