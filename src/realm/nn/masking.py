"""Which entries of a window are hidden from the teacher: spans of time in groups of channels.

Neighbouring bins and channels of a field potential nearly repeat each other, so single hidden
entries could be copied from beside; spans and groups cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

DRAWN_TOGETHER = 16  # spans


class MaskConfig(BaseModel):
    """How much is hidden, and in what pieces. With one channel, every span hides it.

    Attributes:
        hidden_share: share of all bins and channels of a window that is hidden.
        span_ms: shortest and longest hidden span, in milliseconds.
        channel_share: least and largest share of the channels that a span hides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden_share: float = Field(0.5, gt=0, lt=1)
    span_ms: tuple[float, float] = (100.0, 1000.0)
    channel_share: tuple[float, float] = (0.3, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> MaskConfig:
        for name, low, (first, last) in (
            ("span_ms", 0, self.span_ms),
            ("channel_share", 0, self.channel_share),
        ):
            if not low <= first <= last:
                raise ValueError(
                    f"expected {name} as [least, most] with {low} <= least <= most, "
                    f"got [{first}, {last}]; put the smaller value first"
                )
        if self.channel_share[1] > 1:
            raise ValueError(f"expected shares up to 1, got channel_share {self.channel_share[1]}")
        return self

    def span_bins(self, bin_ms: float) -> tuple[int, int]:
        """Shortest and longest span in whole bins, at least one."""
        shortest, longest = (max(1, round(span / bin_ms)) for span in self.span_ms)
        return shortest, longest


def draw_mask(
    seeds: Sequence[int], time: int, channels: int, config: MaskConfig, bin_ms: float
) -> Tensor:
    """Draw a mask (len(seeds), time, channels), True = hidden, each window from its own seed.

    A window's mask depends on its seed alone, not on the batch it is in. The hidden share is that
    of `config`, to within one bin; at least one entry is hidden and at least one is visible.
    """
    if time * channels < 2:
        raise ValueError(
            f"expected windows of at least two entries to hide one of, got {time} bins of "
            f"{channels} channels; make the windows longer"
        )
    span_bins = config.span_bins(bin_ms)
    masks = [
        _draw_window(np.random.default_rng(seed), time, channels, config, span_bins)
        for seed in seeds
    ]
    return torch.from_numpy(np.stack(masks) if masks else np.zeros((0, time, channels), bool))


def _draw_window(
    rng: np.random.Generator,
    time: int,
    channels: int,
    config: MaskConfig,
    span_bins: tuple[int, int],
) -> NDArray[np.bool_]:
    hidden, shape = np.zeros((time, channels), dtype=bool), (time, channels, config, span_bins)
    goal = min(max(1, round(config.hidden_share * hidden.size)), hidden.size - 1)
    surely = _hide_together(hidden, _draw_spans(rng, _fewest(config, time, span_bins), *shape))
    if np.count_nonzero(surely) < goal:
        hidden = surely
    missing = goal - int(np.count_nonzero(hidden))
    while missing > 0:
        for first, last, group in zip(*_draw_spans(rng, DRAWN_TOGETHER, *shape), strict=True):
            span = hidden[first:last]
            fresh = group & ~span  # what this span hides that was visible
            count = int(np.count_nonzero(fresh))
            if count > missing:
                by_bin = fresh.sum(axis=1).cumsum()
                bins = int(np.searchsorted(by_bin, missing)) + 1
                span, fresh, count = span[:bins], fresh[:bins], int(by_bin[bins - 1])
            span |= fresh
            missing -= count
            if missing <= 0:
                break
    if hidden.all():
        hidden[rng.integers(time), rng.integers(channels)] = False
    return hidden


def _draw_spans(
    rng: np.random.Generator,
    spans: int,
    time: int,
    channels: int,
    config: MaskConfig,
    span_bins: tuple[int, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """First bin, bin after the last, and which channels (spans, channels) are hidden.

    Spans may stick out of the window, so that all bins are hidden equally often.
    """
    length = rng.integers(span_bins[0], span_bins[1] + 1, spans)
    start = rng.integers(1 - length, time)
    size = np.maximum(1, np.round(rng.uniform(*config.channel_share, spans) * channels))
    rank = rng.random((spans, channels)).argsort(axis=1).argsort(axis=1)
    return np.maximum(start, 0), np.minimum(start + length, time), rank < size[:, None]


def _fewest(config: MaskConfig, time: int, span_bins: tuple[int, int]) -> int:
    """So many spans rarely hide more than the share, because spans overlap."""
    length = sum(span_bins) / 2
    share = length / (time + length - 1) * sum(config.channel_share) / 2
    needed = math.log(1 - config.hidden_share) / math.log(1 - min(0.95, max(share, 1e-4)))
    return int(0.8 * needed)


def _hide_together(
    hidden: NDArray[np.bool_],
    spans: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """The mask (time, channels) with all of these spans hidden."""
    first, last, group = spans
    time = np.arange(len(hidden))[:, None]
    inside = (time >= first) & (time < last)  # (time, spans)
    return hidden | (inside.astype(np.float32) @ group.astype(np.float32) > 0)
