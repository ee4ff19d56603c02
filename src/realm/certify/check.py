"""What a part of a certificate finds: checks against a limit, readings without one, and curves."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Check(NamedTuple):
    """A number held to a limit. Make it with `at_most` or `at_least`, which decide `passed`."""

    name: str
    passed: bool
    value: float | None  # None: not measured, which is never passed
    unit: str
    limit: float
    rule: str  # "at most" or "at least"
    detail: str


class Reading(NamedTuple):
    """A number that a reader should know and that no limit is set for."""

    name: str
    value: float | None  # None: undefined
    unit: str
    detail: str


class Curve(NamedTuple):
    """Numbers to be drawn: bars between edges (one more x than y) or a line."""

    name: str
    x: list[float]
    y: list[float]
    x_label: str
    y_label: str
    mark: float | None = None  # an x to point at
    mark_label: str = ""


Finding = Check | Reading | Curve


def at_most(name: str, value: float, unit: str, limit: float, detail: str) -> Check:
    """A check that passes up to the limit; a value that is not a number fails."""
    return _check(name, value, unit, limit, "at most", bool(value <= limit), detail)


def at_least(name: str, value: float, unit: str, limit: float, detail: str) -> Check:
    """A check that passes from the limit on; a value that is not a number fails."""
    return _check(name, value, unit, limit, "at least", bool(value >= limit), detail)


def not_measured(name: str, unit: str, limit: float, why: str) -> Check:
    """A check that this machine does not allow: it is not passed, for nothing is known."""
    return Check(name, False, None, unit, limit, "at most", f"not measured: {why}")


def reading(name: str, value: float, unit: str, detail: str) -> Reading:
    """A number without a limit; what is not finite is undefined."""
    return Reading(name, _known(value), unit, detail)


def _check(
    name: str, value: float, unit: str, limit: float, rule: str, passed: bool, detail: str
) -> Check:
    known = _known(value)
    if known is None:
        detail = f"the value is {value}; {detail}"
    return Check(name, passed and known is not None, known, unit, limit, rule, detail)


def _known(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
