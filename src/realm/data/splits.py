"""Time splits: the last 20% of a session is test, the 10% before it validation, the rest training.

A gap of 2 s on both sides of validation keeps filter memory and smoothed behavior from crossing.
Nothing is shuffled. Borders fall on whole bins.
"""

from __future__ import annotations

import math

SPLITS = ("train", "validation", "test")
TENTHS = {"train": 7, "validation": 1, "test": 2}
GAP_S = 2.0


def split_bins(n_bins: int, bin_ms: float) -> dict[str, tuple[int, int]]:
    """First bin and the bin after the last one of every split."""
    gap = math.ceil(GAP_S * 1000 / bin_ms - 1e-9)
    validation, test = n_bins * 7 // 10, -(-n_bins * 8 // 10)
    return {
        "train": (0, validation),
        "validation": (validation + gap, max(validation + gap, test - gap)),
        "test": (test, n_bins),
    }


def check_length(name: object, n_bins: int, bin_ms: float, window_s: float) -> None:
    """Raise a ValueError naming `name` if some split holds no window of `window_s`."""
    window = max(1, round(window_s * 1000 / bin_ms))
    for split, (start, stop) in split_bins(n_bins, bin_ms).items():
        if stop - start < window:
            gaps = 2 * GAP_S if split == "validation" else 0.0
            needed = (window_s + gaps) * 10 / TENTHS[split]
            raise ValueError(
                f"{name}: expected at least {math.ceil(needed)} s so that the {split} split holds "
                f"a window of {window_s:g} s, got {n_bins * bin_ms / 1000:.1f} s with "
                f"{(stop - start) * bin_ms / 1000:.1f} s of {split}; "
                "use shorter windows (data.window_s) or leave this session out"
            )


def split_seconds(n_bins: int, bin_ms: float) -> dict[str, tuple[float, float]]:
    """First and last moment of every split, in seconds from the start of the session."""
    return {
        split: (start * bin_ms / 1000, stop * bin_ms / 1000)
        for split, (start, stop) in split_bins(n_bins, bin_ms).items()
    }
