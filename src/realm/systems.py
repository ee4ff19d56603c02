"""What operating systems do differently: opening and renaming of files, locks, text, CPU time.

Linux, macOS and Windows go through these functions; nothing else in the package uses what only one
of them has. What a system does not offer is left out or answered as unknown, never guessed.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WINDOWS = os.name == "nt"
REPLACE_S = 2.0  # how long Windows is asked again to rename over a file that somebody reads
AGAIN_S = 0.01
FAR = 0x7FFF_0000  # where Windows locks a byte: none of the file, so that it can be read
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def clock(windows: bool) -> Callable[[], float]:
    """Seconds on a clock of the whole machine that never jumps: liblsl's, on every system.

    On Windows `time.monotonic` steps by 16 ms before Python 3.13; `time.perf_counter` is the clock
    that liblsl has there, and all processes share it too.
    """
    return time.perf_counter if windows else time.monotonic


def open_file(path: Path | str, flags: int, mode: int = 0o666) -> int:
    """`os.open` for bytes as they are, not inherited by other programs.

    Raises:
        OSError: as `os.open`.
    """
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOINHERIT"):  # without the first, Windows writes \r\n
        flags |= getattr(os, name, 0)
    return os.open(path, flags, mode)


def open_plain(path: Path | str) -> int:
    """Open a file to read it; a link is refused, and a pipe or device does not block.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    if not hasattr(os, "O_NOFOLLOW") and Path(path).is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    wanted = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))
    return open_file(path, os.O_RDONLY | sum(wanted))


def read_at(handle: int, size: int, offset: int) -> bytes:
    """Up to `size` bytes of an open file from a position."""
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, size)


def write_at(handle: int, content: bytes, offset: int) -> int:
    """Write to a position of an open file; how many bytes were written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, content, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.write(handle, content)


def flush(path: Path | str) -> None:
    """Put a file, or the names in a folder, on the disk; Windows does so for folders by itself."""
    if WINDOWS and Path(path).is_dir():
        return
    handle = open_file(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(source: Path | str, target: Path | str) -> None:
    """Rename over `target`; on Windows, wait a little for those who read it at this moment.

    Raises:
        OSError: as `os.replace`.
    """
    until = time.monotonic() + REPLACE_S
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if not WINDOWS or time.monotonic() >= until:
                raise
        time.sleep(AGAIN_S)


def lock(handle: int) -> bool:
    """Lock an open file for this process until it is closed; False if another process holds it.

    True as well where the system or the file system has no locks.
    """
    try:
        if (fcntl := _module("fcntl")) is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif (msvcrt := _module("msvcrt")) is not None:
            at = os.lseek(handle, 0, os.SEEK_CUR)
            os.lseek(handle, FAR, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(handle, at, os.SEEK_SET)
    except OSError as error:
        return error.errno not in BUSY
    return True


def children_cpu_s() -> float:
    """CPU seconds of the processes that this one started and that ended; 0 where unknown."""
    resource = _module("resource")
    if resource is None:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(used.ru_utime + used.ru_stime)


def show_any_text() -> None:
    """Show `?` for what the console cannot show, such as µ in some code pages, and go on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _module(name: str) -> Any:
    """A module of some systems; None on the others."""
    try:
        return __import__(name)
    except ImportError:
        return None
