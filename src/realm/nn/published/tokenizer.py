"""The published neural tokenizer: what every electrode says in a moment, as one vector.

One convolution over time, the same for all channels, makes a few features of each. Every channel is
then weighted by an attention that looks at the mean of its features and of its neighbours' (ECA),
and a linear map and a norm make a token of all of them. Channels stand in fixed places; a place
without a channel holds zeros.

The bidirectional form takes that mean over the window. The causal form takes it since the start of
the stream, as published, for the first `mean_bins` (5 s), and from there on with weights that fall
off exponentially over as many bins: each bin moves the mean by 1 / min(bins so far, mean_bins).
The published mean grows ever staler in a long stream; this one forgets, and is the published one
in every published window.

Source: arXiv 2605.14867; Wang et al., "ECA-Net", 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 3  # bins that the convolution over time reads
BLOCK = 100  # bins whose mean is taken in one matrix product


class RunningMean(NamedTuple):
    """The mean of every channel so far, and of how many bins, at most `mean_bins`."""

    mean: Tensor  # (batch, channels)
    bins: int


class TokenizerState(NamedTuple):
    """What the tokenizer remembers of the past."""

    inputs: Tensor  # (batch, KERNEL - 1, channels * bands)
    means: RunningMean


class NeuralTokenizer(nn.Module):
    """Features (batch, time, channels * bands) to tokens (batch, time, d_model)."""

    def __init__(
        self,
        channels: int,
        bands: int,
        d_model: int,
        d_channel: int,
        attention_kernel: int,
        mean_bins: int,
    ) -> None:
        super().__init__()
        self.channels, self.bands, self.mean_bins = channels, bands, mean_bins
        self.conv_weight = nn.Parameter(torch.empty(KERNEL, d_channel, bands))  # oldest first
        self.conv_bias = nn.Parameter(torch.empty(d_channel))
        self.attention_weight = nn.Parameter(torch.empty(attention_kernel))
        self.project = nn.Linear(channels * d_channel, d_model)
        self.norm = nn.LayerNorm(d_model)
        bound = (KERNEL * bands) ** -0.5
        for parameter in (self.conv_weight, self.conv_bias):
            nn.init.uniform_(parameter, -bound, bound)
        nn.init.uniform_(self.attention_weight, -(attention_kernel**-0.5), attention_kernel**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Read a whole window with its past and its future."""
        features = self._features(F.pad(x, (0, 0, KERNEL // 2, KERNEL // 2)))
        return self._tokens(features, features.mean(dim=(1, 3))[:, None])

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> TokenizerState:
        """Return the state of silence before the first bin."""
        like = self.conv_weight.new_zeros(0, dtype=dtype, device=device)
        inputs = like.new_zeros(batch, KERNEL - 1, self.channels * self.bands)
        return TokenizerState(inputs, RunningMean(like.new_zeros(batch, self.channels), 0))

    def step(self, x: Tensor, state: TokenizerState) -> tuple[Tensor, TokenizerState]:
        """Read a chunk of any length; nothing of the future."""
        recent = torch.cat((state.inputs, x), dim=1)
        features = self._features(recent)
        means, after = running_mean(features.mean(-1), state.means, self.mean_bins)
        return self._tokens(features, means), TokenizerState(recent[:, x.shape[1] :], after)

    def _features(self, recent: Tensor) -> Tensor:
        """Convolve (batch, 2 + time, channels * bands) to (batch, time, channels, d_channel)."""
        time = recent.shape[1] - KERNEL + 1
        channels = recent.view(*recent.shape[:2], self.channels, self.bands)
        taps = [channels[:, lag : lag + time] @ tap.T for lag, tap in enumerate(self.conv_weight)]
        return F.gelu(sum(taps, self.conv_bias))

    def _tokens(self, features: Tensor, means: Tensor) -> Tensor:
        """Weight, project and normalize; means (batch, time or 1, channels)."""
        kernel = self.attention_weight[None, None]
        rows = means.reshape(-1, 1, self.channels)
        attention = F.conv1d(rows, kernel, padding=kernel.shape[-1] // 2).view(means.shape)
        weighted = features * torch.sigmoid(attention)[..., None]
        tokens: Tensor = self.norm(self.project(weighted.flatten(2)))
        return tokens


def running_mean(values: Tensor, before: RunningMean, longest: int) -> tuple[Tensor, RunningMean]:
    """The mean at every bin of values (batch, time, channels), and where it ends.

    A plain mean up to `longest` bins, then one that forgets with this many bins as time constant.
    """
    time, mean, means = values.shape[1], before.mean, []
    plain = max(0, min(time, longest - before.bins))
    if plain:
        counts = torch.arange(1, plain + 1, device=values.device)[:, None] + before.bins
        sums = mean[:, None] * before.bins + values[:, :plain].cumsum(1)
        means.append(sums / counts.to(values.dtype))
        mean = means[-1][:, -1]
    keep = 1 - 1 / longest
    for piece in torch.split(values[:, plain:], BLOCK, dim=1) if plain < time else ():
        bins = torch.arange(piece.shape[1], dtype=torch.float64, device=values.device)
        lags = bins[:, None] - bins
        weights = torch.where(lags >= 0, keep ** lags.clamp(min=0), 0.0) / longest
        carried = (keep ** (bins + 1)).to(values.dtype)[:, None] * mean[:, None]
        means.append(weights.to(values.dtype) @ piece + carried)
        mean = means[-1][:, -1]
    all_means = torch.cat(means, dim=1) if means else values.new_zeros(values.shape)
    return all_means, RunningMean(mean, min(before.bins + time, longest))
