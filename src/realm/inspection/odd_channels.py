"""Channels that look like no electrode beside the others: far larger, in steps, or noiseless."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.inspection.statistics import Statistics

FLAT = 0.99  # share of samples that equal the one before
FEWEST = 3  # channels, to say that one is unlike the others
LOUD = 100.0  # times the typical scale
HELD, ALONE = 0.5, 0.95  # share of equal neighbors, and of changes that stand alone: steps
SMOOTH = 0.02  # of the typical noise
LIKE = 0.2  # of the typical size: as large as an electrode


def stepping(of: Statistics) -> NDArray[np.bool_]:
    """Which channels hold a value, change at once and hold the next, and are no smaller."""
    alive = of.constant < FLAT
    typical = float(np.median(of.range_v[alive])) if alive.any() else np.inf
    held = (of.constant > HELD) & (of.steps > ALONE)
    return np.asarray(held & (of.range_v > LIKE * typical))


def odd_channels(of: Statistics, flagged: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Positions of the odd channels by what is odd about them; none where most would be.

    Args:
        of: what the samples look like.
        flagged: channels that are not judged.
    """
    steps = stepping(of)
    judged = ~flagged & np.isfinite(of.scale_v) & ((of.constant < FLAT) | steps)
    if judged.sum() < FEWEST:
        return {}
    scale = of.scale_v / max(float(np.median(of.scale_v[judged])), 1e-300)
    noise = of.noise_v / max(float(np.median(of.noise_v[judged])), 1e-300)
    loud = judged & (scale > LOUD)
    steps = judged & steps & ~loud
    smooth = judged & (noise < SMOOTH) & (scale > LIKE) & ~loud & ~steps
    if not (noise > 0).any() or (loud | steps | smooth).sum() > judged.sum() / 2:
        return {}
    found = {
        f"more than {LOUD:g} times as large as the others": loud,
        "changing in steps": steps,
        "without the noise of an electrode": smooth,
    }
    return {what: np.flatnonzero(which).tolist() for what, which in found.items() if which.any()}
