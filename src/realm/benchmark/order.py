"""The sessions of every subject in the order in which they were recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from realm.recordings import identify


def sessions_by_subject(recordings: Sequence[Path]) -> dict[str, list[str]]:
    """Session ids of every subject, by their start times.

    Sessions that state the same time, or none, stand in the order of their ids, where numbers
    count as numbers: "day9" before "day10".
    """
    found: dict[str, list[tuple[float, list[tuple[int, str]], str]]] = {}
    for path in recordings:
        session_id, subject, started_at = identify(path)
        key = (_seconds(started_at), _natural(session_id), session_id)
        found.setdefault(subject, []).append(key)
    return {subject: [key[-1] for key in sorted(keys)] for subject, keys in sorted(found.items())}


def _seconds(time: datetime | None) -> float:
    """A time as one number, in UTC where it states no zone; 0 where there is none."""
    if time is None:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which runs of digits are numbers."""
    pieces = re.findall(r"\d+|\D+", name)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
