"""The counts of `quality.py` as one compiled loop; importing this needs numba."""

from __future__ import annotations

from typing import Any

from realm.compiling import behaved, compiled
from realm.signal.normalize import CLIP
from realm.signal.stage import Features, Flags
from realm.streaming.quality import BAD_SHARE, Counted, empty_counts


@compiled(
    "void(float64[:, :, ::1], float64[:, ::1], boolean[::1], float64, float64[::1], int64[::1], "
    "int64[::1], boolean[::1], boolean[::1])"
)
def tally(
    values: Any,
    filled: Any,
    usable: Any,
    quorum: Any,
    share: Any,
    bad: Any,
    clipped: Any,
    gap: Any,
    few: Any,
) -> None:
    """Count what is bad in each bin: values (bins, channels, bands), filled (bins, channels)."""
    for k in range(filled.shape[0]):
        total, n_usable, n_bad, n_clipped, silent = 0.0, 0, 0, 0, True
        for c in range(filled.shape[1]):
            if usable[c]:
                n_usable += 1
                total += filled[k, c]
                silent = silent and filled[k, c] == 1
            n_bad += 1 if filled[k, c] > BAD_SHARE or not usable[c] else 0
            far = False
            for b in range(values.shape[2]):
                far = far or abs(values[k, c, b]) >= CLIP
            n_clipped += 1 if far else 0
        n_usable = max(n_usable, 1)
        share[k] = total / n_usable
        bad[k], clipped[k], gap[k] = n_bad, n_clipped, silent
        few[k] = (usable.size - n_bad) / n_usable < quorum


def compiled_count(features: Features, usable: Flags, quorum: float) -> Counted:
    """As `quality.count`."""
    counted = empty_counts(len(features.filled))
    tally(behaved(features.values), behaved(features.filled), usable, quorum, *counted)
    return counted
