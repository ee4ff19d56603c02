"""The state of the decoder in one word, and the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from realm.live.outputs import Outputs

STALE_S = 1.0  # without rows from the decoder


class State(NamedTuple):
    """`word` is decoding, hold, neutral, refused, waiting or silent; `reason` is for people."""

    word: str
    reason: str


def describe(parts: Sequence[Outputs], status: dict[str, Any], age_s: float) -> State:
    """The worst state of these rows; without rows, that none has come yet.

    Args:
        parts: the rows given last.
        status: `Status.snapshot`, or as much of it as is known.
        age_s: time since the decoder gave them.
    """
    stream, said = status.get("state"), str(status.get("reason") or "")
    if age_s > STALE_S:
        ended = "; the source has ended" if stream == "ended" else ""
        return State("silent", f"nothing from the decoder for {age_s:.0f} s{ended}")
    if not parts:
        return State("waiting", "no bin has been decoded yet")
    if stream == "refused":
        return State("refused", said or "the source does not fit")
    if any(part.neutral.any() for part in parts):
        return State("neutral", _why_late(stream, said) or _why_neutral(parts[-1]))
    if any(part.held.any() for part in parts):
        return State("hold", _why_late(stream, said) or "samples are late")
    return State("decoding", said if stream == "running" else "")


def _why_late(stream: str | None, said: str) -> str:
    """The reason, if it is the source."""
    words = {
        "waiting": "no source yet",
        "checking": "unit and rate of the new connection are being checked",
        "late": "samples are late",
        "lost": "the source is lost",
        "ended": "the source has ended",
    }
    word = words.get(stream or "", "")
    return f"{word}: {said}" if word and said and stream == "lost" else word


def _why_neutral(last: Outputs) -> str:
    if last.gap[-1]:
        return "no channel has a usable sample"
    n_bad, n_channels = int(last.bad_channels[-1]), last.filled.shape[1]
    if n_bad:
        return f"{n_bad} of {n_channels} channels are bad"
    return "a moment ago, too few channels were good or the decoder started anew"


def plain_status(status: dict[str, Any]) -> dict[str, Any]:
    """Counters and gauges as JSON has them: no NaN, no numpy."""
    return {str(name): _plain(value) for name, value in status.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain_status(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
