"""Units of potential, as files spell them, in volts."""

from __future__ import annotations

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


def volts_per(unit: str) -> float | None:
    """Volts in one `unit`; None where it is no unit of potential."""
    unit = unit.strip().strip("\x00")
    return VOLTS_PER.get(unit, _WORDS.get(unit.lower(), {"uv": 1e-6, "mv": 1e-3}.get(unit.lower())))
