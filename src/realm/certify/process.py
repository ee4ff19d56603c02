"""What the system says of this process: resident memory and sockets, as Linux tells it.

Elsewhere the functions give None, and what needs them is reported as not measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

PROC = Path("/proc/self")
LISTENING = "0A"  # the state in /proc/net/tcp
NOT_HERE = f"{PROC} is not there, which this check reads; run it on Linux"


def resident_mb(proc: Path = PROC) -> float | None:
    """Memory of this process that is in the machine's memory, in MB (10^6 bytes).

    Counted page by page (`smaps_rollup`); the cheaper counters lag behind by many pages.
    """
    try:
        for line in (proc / "smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None


def give_memory_back() -> None:
    """Return what is free inside this process to the system, where the C library can (glibc).

    Free memory that is kept would take up a leak, for a while, without a growth to be seen.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def socket_inodes(proc: Path = PROC) -> set[str] | None:
    """Sockets that this process holds."""
    try:
        names = os.listdir(proc / "fd")
    except OSError:
        return None
    found = set()
    for name in names:
        try:
            target = os.readlink(proc / "fd" / name)
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def listening_inodes(proc: Path = PROC) -> set[str] | None:
    """Sockets of this machine's network namespace that wait for TCP connections."""
    found, read = set(), 0
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        read += 1
        found |= {columns[9] for columns in map(str.split, lines) if columns[3] == LISTENING}
    return found if read else None
