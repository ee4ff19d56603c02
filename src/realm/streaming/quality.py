"""What is known of the signal behind each decoded bin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal import Features
from realm.signal.normalize import CLIP

BAD_SHARE = 0.5  # a channel is bad in a bin if more than this of its samples were replaced

Flags = NDArray[np.bool_]
Filled = NDArray[np.float64]


class Quality(NamedTuple):
    """One row per output. It tells of the bin that was heard last when the output was given.

    Without a lookahead that is the decoded bin; with one it is later by the lookahead.
    """

    bin: NDArray[np.int64]  # (bins,) index of the decoded bin; it ends at (bin + 1) * bin_ms
    filled: Filled  # (bins, channels) share of samples that were replaced, 1 = masked
    filled_share: NDArray[np.float64]  # (bins,) mean of it over the usable channels
    bad_channels: NDArray[np.int64]  # (bins,) channels mostly replaced, the dead ones among them
    clipped_channels: NDArray[np.int64]  # (bins,) channels with a feature at the clip, ±10
    gap: Flags  # (bins,) no sample of any usable channel could be used
    neutral: Flags  # (bins,) the output is the neutral value, not decoded
    restarted: Flags  # (bins,) the student's numbers overflowed and it began anew from silence


class Counted(NamedTuple):
    """What the channels of each bin add up to, (bins,); as in `Quality`."""

    filled_share: NDArray[np.float64]
    bad_channels: NDArray[np.int64]
    clipped_channels: NDArray[np.int64]
    gap: Flags
    few: Flags  # fewer channels are good than the quorum asks for


def empty_counts(bins: int) -> Counted:
    """Room for the counts of so many bins."""

    def whole() -> NDArray[np.int64]:
        return np.empty(bins, dtype=np.int64)

    def flags() -> Flags:
        return np.empty(bins, dtype=np.bool_)

    return Counted(np.empty(bins), whole(), whole(), flags(), flags())


def count(features: Features, usable: Flags, quorum: float) -> Counted:
    """Count what is bad in each bin.

    Args:
        features: (bins, channels, bands), normalized.
        usable: (channels,) False for those that were dead when the decoder was trained.
        quorum: the least share of usable channels that must be good.
    """
    filled = features.filled
    n_usable = int(np.count_nonzero(usable))
    heard = filled if n_usable == len(usable) else filled[:, usable]
    bad = ((filled > BAD_SHARE) | ~usable).sum(axis=1, dtype=np.int64)
    clipped = (np.abs(features.values) >= CLIP).any(axis=2)
    return Counted(
        filled_share=heard.sum(axis=1) / max(n_usable, 1),
        bad_channels=bad,
        clipped_channels=clipped.sum(axis=1, dtype=np.int64),
        gap=(heard == 1).all(axis=1),
        few=(len(usable) - bad) / max(n_usable, 1) < quorum,
    )


def judge(counted: Counted, filled: Filled, first_bin: int, overflowed: Flags) -> Quality:
    """The quality of each bin that was counted.

    Args:
        counted, filled: of the bins, and the shares they were counted from.
        first_bin: index of the bin that the first row decodes.
        overflowed: (bins,) True where the student gave no finite output.
    """
    return Quality(
        np.arange(first_bin, first_bin + len(filled), dtype=np.int64),
        filled,
        *counted[:-1],
        neutral=counted.few | overflowed,
        restarted=overflowed,
    )
