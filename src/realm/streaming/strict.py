"""Reading values of a JSON file that may be damaged or hostile: exact types, bounded sizes."""

from __future__ import annotations

import json
import math
from typing import Any

LONGEST_TEXT = 1_000


def parse(content: bytes, where: str) -> dict[str, Any]:
    """One JSON object, written exactly as `dump` writes it.

    Raises:
        ValueError: it is not; the message begins with `where`.
    """
    try:
        value = json.loads(content.decode())
        canonical = dump(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: expected JSON, but it cannot be read ({error}); copy the whole folder again"
        ) from None
    if not isinstance(value, dict) or canonical != content:
        raise ValueError(
            f"{where}: expected one JSON object as it was written, this was edited or damaged; "
            "copy the whole folder again, or make the bundle again with other settings"
        )
    return value


def dump(value: Any) -> bytes:
    """JSON for people and for `parse`: the same value always gives the same bytes."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def entries(value: object, where: str, *keys: str) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict) or set(value) != set(keys):
        got = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(_said(where, f"the keys {', '.join(keys)}", got or "none"))
    return value


def text(value: object, where: str) -> str:
    """Printable text of moderate length, not empty."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
        wanted = f"printable text of 1 to {LONGEST_TEXT} characters"
        raise ValueError(_said(where, wanted, repr(value)[:80]))
    return value


def texts(value: object, where: str, longest: int) -> tuple[str, ...]:
    """A list of different texts, at least one."""
    if not isinstance(value, list) or not 0 < len(value) <= longest:
        raise ValueError(_said(where, f"a list of 1 to {longest} names", repr(value)[:80]))
    names = tuple(text(each, where) for each in value)
    if len(set(names)) < len(names):
        raise ValueError(_said(where, "different names", "one of them twice"))
    return names


def number(value: object, where: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not ok or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(_said(where, f"a number from {low:g} to {high:g}", repr(value)[:80]))
    return float(value)  # type: ignore[arg-type]


def numbers(value: object, where: str, count: int) -> tuple[float, ...]:
    """A list of `count` finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(_said(where, f"a list of {count} numbers", repr(value)[:80]))
    return tuple(number(each, where, -1e300, 1e300) for each in value)


def whole(value: object, where: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(_said(where, f"a whole number from {low} to {high}", repr(value)[:80]))
    return value


def _said(where: str, expected: str, got: str) -> str:
    return f"{where}: expected {expected}, got {got}; make the bundle again"
