"""Units of potential, as files spell them, in volts."""

from __future__ import annotations

import re

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9}
VOLTS_PER = {f"{prefix}V": factor for prefix, factor in _PREFIXES.items()}
_WORDS = {
    "volt": 1.0,
    "volts": 1.0,
    "millivolt": 1e-3,
    "millivolts": 1e-3,
    "microvolt": 1e-6,
    "microvolts": 1e-6,
    "nanovolt": 1e-9,
    "nanovolts": 1e-9,
}


# The micro sign read in another encoding than it was written in, or lost: only "µ" is not ASCII.
_DAMAGED_MICRO = re.compile(r"([^\x00-\x7f]{1,2}|\?)(V|volts?)", re.IGNORECASE)


def volts_per(unit: str) -> float | None:
    """Volts in one `unit`; None where it is no unit of potential. A blank unit is none."""
    unit = unit.strip("\x00 \t\r\n")
    if _DAMAGED_MICRO.fullmatch(unit):
        return 1e-6
    return VOLTS_PER.get(unit, _WORDS.get(unit.lower(), {"uv": 1e-6, "mv": 1e-3}.get(unit.lower())))


def is_unreadable(unit: str) -> bool:
    """Whether `unit` may be meant as a potential, but does not say which: blank, or like "xV"."""
    unit = unit.strip("\x00 \t\r\n")
    meant = not unit or re.search(r"v(olts?)?$", unit, re.IGNORECASE) is not None
    return meant and volts_per(unit) is None
