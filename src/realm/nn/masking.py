"""Which entries of a window are hidden from the teacher: spans of time in groups of channels.

Neighbouring bins and channels of a field potential nearly repeat each other, so single hidden
entries could be copied from beside; spans and groups cannot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor


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
    hidden = np.zeros((time, channels), dtype=bool)
    goal = min(max(1, round(config.hidden_share * hidden.size)), hidden.size - 1)
    while (missing := goal - int(hidden.sum())) > 0:
        length = int(rng.integers(span_bins[0], span_bins[1] + 1))
        start = int(rng.integers(1 - length, time))  # spans may stick out: all bins alike
        span = np.arange(max(start, 0), min(start + length, time))
        n_group = max(1, round(rng.uniform(*config.channel_share) * channels))
        group = rng.permutation(channels)[:n_group]
        fresh = (~hidden[np.ix_(span, group)]).sum(1).cumsum()  # newly hidden, bin after bin
        span = span[: int(np.searchsorted(fresh, missing)) + 1]
        hidden[np.ix_(span, group)] = True
    if hidden.all():
        hidden[rng.integers(time), rng.integers(channels)] = False
    return hidden
