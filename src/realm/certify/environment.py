"""The machine, this process, and its sockets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import realm
from realm.certify.check import Finding, Trial, at_most, not_measured

PROC = Path("/proc/self")
LISTENING = "0A"  # the state in /proc/net/tcp
NOT_HERE = f"this check reads {PROC}, which is missing; run it on Linux"
WATCHED_S = 3.0  # of signal that is decoded while sockets are watched
EVERY = 20  # bins between two readings of the open files
LIBRARIES = ("numpy", "scipy", "numba", "safetensors")
CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def machine() -> dict[str, Any]:
    """The machine as it is now; null is unknown."""
    return {
        "name": platform.node(),
        "cpu": _line("/proc/cpuinfo", "model name") or platform.processor() or None,
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "frequency_governor": CPU.read_text().strip() if CPU.is_file() else None,
        "load_before": load(),
    }


def load() -> float | None:
    """Mean number of processes that want a core, over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions() -> dict[str, str | None]:
    """Python and the libraries that decode."""
    found: dict[str, str | None] = {
        "realm-lfp": realm.__version__,
        "python": platform.python_version(),
    }
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _memory_gb() -> float | None:
    told = _line("/proc/meminfo", "MemTotal")
    return None if told is None else round(int(told.split()[0]) * 1024 / 1e9, 1)


def _line(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
    return found[0] if found else None


def resident_mb(proc: Path = PROC) -> float | None:
    """Resident memory of this process, in MB (10^6 bytes).

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
    """Return free memory of this process to the system, if the C library can (glibc).

    Otherwise a leak could fill that memory first, and no growth would be seen.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def socket_inodes(proc: Path = PROC) -> set[str] | None:
    """Sockets that this process has open."""
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


_watching: list[SocketWatch] = []
_hooked: list[bool] = []


class SocketWatch:
    """Records the use of sockets inside a `with` block.

    By two ways: Python's audit events, which show every use of its `socket` module, and the list of
    open files that Linux keeps, which shows sockets that a library opens itself.

    Attributes:
        events: audit events, such as "socket.connect".
        opened, listening: numbers of sockets that were not there before; None where unknown.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.opened: set[str] | None = set()
        self.listening: set[str] | None = set()
        self._before: set[str] = set()

    def __enter__(self) -> Self:
        if not _hooked:  # a hook cannot be removed, so there is only one
            sys.addaudithook(_hook)
            _hooked.append(True)
        self._before = socket_inodes() or set()
        _watching.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        self.look()
        _watching.remove(self)

    def look(self) -> None:
        """Read which sockets are open now."""
        ours, all_listening = socket_inodes(), listening_inodes()
        new = None if ours is None else ours - self._before
        if self.opened is not None:
            self.opened = None if new is None else self.opened | new
        if self.listening is not None:
            found = None if new is None or all_listening is None else new & all_listening
            self.listening = None if found is None else self.listening | found


def _hook(event: str, _: Any) -> None:
    if _watching and event.startswith("socket."):
        for watch in _watching:
            watch.events.append(event)


def check_sockets(trial: Trial) -> list[Finding]:
    """Load, decode bin by bin, save and restore the state, and watch for sockets."""
    x = trial.piece(trial.rng("sockets"), WATCHED_S)
    with SocketWatch() as watch:
        decoder = trial.make("float32", False)
        state = decoder.initial_state()
        per_bin = max(1, round(trial.rate_hz * decoder.bin_ms / 1000))
        for number, start in enumerate(range(0, len(x), per_bin)):
            _, state = decoder.step(x[start : start + per_bin], state)
            if number % EVERY == 0:
                watch.look()
        decoder.state_from_bytes(decoder.state_to_bytes(state))
    return judged(watch)


def judged(watch: SocketWatch) -> list[Finding]:
    """The checks of what was recorded."""
    seen = f": {', '.join(sorted(set(watch.events)))}" if watch.events else ""
    findings: list[Finding] = [
        at_most("uses of sockets by Python", len(watch.events), "events", 0, f"audit events{seen}")
    ]
    for name, found in (("opened", watch.opened), ("listening", watch.listening)):
        if found is None:
            findings.append(not_measured(f"sockets {name}", "sockets", 0, NOT_HERE))
            continue
        text = "of this process while it loaded and decoded, from the system's list"
        findings.append(at_most(f"sockets {name}", len(found), "sockets", 0, text))
    return findings
