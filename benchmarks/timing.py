"""How a ratio is measured: in alternating rounds, so that both sides meet the same machine.

What is timed is the processor time of this process, on one thread: a neighbour that takes the
core for a while does not count, though one that crowds the shared cache does. A ratio is taken in
every round; its median and quartiles over the rounds are reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]  # (rounds,)

PER_SECOND = {"s": 1.0, "ms": 1e3, "µs": 1e6}


class Row(NamedTuple):
    """One line of the results; `value` and `reference_value` are medians in `unit`."""

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float
    ratio: float  # measured over reference: less is better
    ratio_low: float  # quartiles over the rounds
    ratio_high: float
    target: float | None  # the ratio to reach, None where none is set
    met: bool | None


class Skipped(NamedTuple):
    """What could not be measured here, and why."""

    name: str
    why: str


def alternate(parts: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Seconds]:
    """Run all parts in turn, `rounds` times after one that does not count; seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds + 1):
        for name, part in parts.items():
            start = time.process_time()
            part()
            taken[name].append(time.process_time() - start)
    return {name: np.array(seconds[1:]) for name, seconds in taken.items()}


def compare(
    name: str,
    seconds: Seconds,
    unit: str,
    reference: str,
    reference_seconds: Seconds,
    target: float | None = None,
) -> Row:
    """Make a row of what was measured in the same rounds; `unit` may go on, as in "s per hour"."""
    scale = PER_SECOND[unit.split()[0]]
    low, ratio, high = (
        float(q) for q in np.quantile(seconds / reference_seconds, (0.25, 0.5, 0.75))
    )
    return Row(
        name,
        float(np.median(seconds)) * scale,
        unit,
        reference,
        float(np.median(reference_seconds)) * scale,
        ratio,
        low,
        high,
        target,
        None if target is None else ratio <= target,
    )


def limit(name: str, seconds: Seconds, unit: str, allowed: str, at_most_s: float) -> Row:
    """Make a row of what has to stay under a time instead of beside another measurement."""
    return compare(name, seconds, unit, allowed, np.full(len(seconds), at_most_s), target=1.0)
