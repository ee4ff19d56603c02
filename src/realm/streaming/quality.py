"""What is known of the signal behind each decoded bin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal import Features
from realm.signal.normalize import CLIP

BAD_SHARE = 0.5  # a channel is bad in a bin if more than this of its samples were replaced

Flags = NDArray[np.bool_]


class Quality(NamedTuple):
    """One row per output. It tells of the bin that was heard last when the output was given.

    Without a lookahead that is the decoded bin; with one it is later by the lookahead.
    """

    bin: NDArray[np.int64]  # (bins,) index of the decoded bin; it ends at (bin + 1) * bin_ms
    filled: NDArray[np.float64]  # (bins, channels) share of samples that were replaced, 1 = masked
    filled_share: NDArray[np.float64]  # (bins,) mean of it over the usable channels
    bad_channels: NDArray[np.int64]  # (bins,) channels mostly replaced, the dead ones among them
    clipped_channels: NDArray[np.int64]  # (bins,) channels with a feature at the clip, ±10
    gap: Flags  # (bins,) no sample of any usable channel could be used
    neutral: Flags  # (bins,) the output is the neutral value, not decoded
    restarted: Flags  # (bins,) the student's numbers overflowed and it began anew from silence


def judge(
    features: Features, first_bin: int, usable: Flags, quorum: float, overflowed: Flags
) -> Quality:
    """The quality of each row of `features`.

    Args:
        features: (bins, channels, bands), normalized.
        first_bin: index of the bin that the first row decodes.
        usable: (channels,) False for those that were dead when the decoder was trained.
        quorum: the least share of usable channels that must be good.
        overflowed: (bins,) True where the student gave no finite output.
    """
    filled = features.filled
    n_usable = int(np.count_nonzero(usable))
    heard = filled if n_usable == len(usable) else filled[:, usable]
    bad = (filled > BAD_SHARE) | ~usable
    n_bad = bad.sum(axis=1, dtype=np.int64)
    good_share = (len(usable) - n_bad) / max(n_usable, 1)
    clipped = (np.abs(features.values) >= CLIP).any(axis=2).sum(axis=1, dtype=np.int64)
    return Quality(
        bin=first_bin + np.arange(len(filled), dtype=np.int64),
        filled=filled,
        filled_share=heard.sum(axis=1) / max(n_usable, 1),
        bad_channels=n_bad,
        clipped_channels=clipped,
        gap=(heard == 1).all(axis=1),
        neutral=(good_share < quorum) | overflowed,
        restarted=overflowed.copy(),
    )
