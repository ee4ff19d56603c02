"""The machine, its load, and the memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import realm

PROC = Path("/proc/self")
NOT_HERE = f"this check reads {PROC}, which is missing; run it on Linux"
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
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Windows has no CDLL(None)
        ctypes.CDLL(None).malloc_trim(0)
