"""The published encoder: tokenizer, Mamba-2 layers with LayerNorm in front, LayerNorm at the end.

Chosen in a recipe as `encoder = { kind = "published" }`. It takes the channels of a session in
fixed places instead of a session's own adapter, so that all sessions share every weight.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from realm.nn.encoders import EncoderSettings, TrainedEncoder
from realm.nn.published.mixer import BidirectionalPublishedMamba2, MixerState, PublishedMamba2
from realm.nn.published.tokenizer import NeuralTokenizer, TokenizerState


class PublishedSettings(EncoderSettings):
    """The size of the published encoder; the defaults are its causal student.

    Attributes:
        channels: places for channels; a session with fewer leaves the last ones empty.
        bands: features of one channel.
        layers: number of mixers.
        d_model: width of tokens and layers.
        d_state, headdim, expand, conv_kernel: as for the other Mamba-2.
        d_channel: features that the tokenizer makes of each channel.
        attention_kernel: channels that the attention of one channel looks at; odd.
        mean_bins: bins over which the attention's mean is the published one; it forgets after.
        dropout: share of the tokens and of the layers' outputs that is dropped in training.
        drop_path: share of the windows in which the last layer is left out in training; it falls
            linearly to 0 at the first.
        skip: the readout also reads the features of the present bin.
    """

    kind: Literal["published"] = "published"
    channels: PositiveInt = 96
    bands: PositiveInt = 1
    layers: PositiveInt = 10
    d_model: PositiveInt = 256
    d_state: PositiveInt = 64
    headdim: PositiveInt = 64
    expand: PositiveInt = 2
    conv_kernel: PositiveInt = 4
    d_channel: PositiveInt = 8
    attention_kernel: PositiveInt = 5
    mean_bins: PositiveInt = 500
    dropout: float = Field(0.1, ge=0, lt=1)
    drop_path: float = Field(0.0, ge=0, lt=1)
    skip: bool = False

    @model_validator(mode="after")
    def _fit(self) -> Self:
        width = self.d_model * self.expand
        if width % self.headdim or self.d_state % 2 or not self.attention_kernel % 2:
            raise ValueError(
                "expected headdim to divide d_model * expand, an even d_state and an odd "
                f"attention_kernel, got {self.headdim} for {width}, {self.d_state} and "
                f"{self.attention_kernel}; correct them"
            )
        return self

    @property
    def latent_width(self) -> int:
        """Numbers that the readout reads in a bin."""
        return self.d_model + self.channels * self.bands * self.skip

    @property
    def places(self) -> tuple[int, int] | None:
        """Channels and bands that the tokenizer takes."""
        return self.channels, self.bands

    def tokenizer(self) -> NeuralTokenizer:
        """An untrained tokenizer."""
        return NeuralTokenizer(
            self.channels,
            self.bands,
            self.d_model,
            self.d_channel,
            self.attention_kernel,
            self.mean_bins,
        )

    def mixer_arguments(self) -> dict[str, int]:
        """The arguments of the mixers."""
        names = ("d_model", "d_state", "headdim", "expand", "conv_kernel")
        return {name: getattr(self, name) for name in names}


class PublishedState(NamedTuple):
    """What the causal encoder remembers of the past."""

    tokenizer: TokenizerState
    layers: tuple[MixerState, ...]


class _Layers(nn.Module):
    """What both forms have: tokenizer, norms, mixers and the norm at the end."""

    def __init__(
        self,
        settings: PublishedSettings,
        mixer: type[PublishedMamba2] | type[BidirectionalPublishedMamba2],
    ) -> None:
        super().__init__()
        width, layers = settings.d_model, settings.layers
        self.d_model = settings.latent_width
        self.skip, self.dropout = settings.skip, settings.dropout
        self.drop_path = [settings.drop_path * i / max(1, layers - 1) for i in range(layers)]
        self.tokenizer = settings.tokenizer()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.mixers = nn.ModuleList(mixer(**settings.mixer_arguments()) for _ in range(layers))
        self.out_norm = nn.LayerNorm(width)

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def _added(self, x: Tensor, mixed: Tensor, layer: int) -> Tensor:
        """The output of a layer added to its input, in training not everywhere."""
        mixed, share = self._dropped(mixed), self.drop_path[layer]
        if self.training and share > 0:
            kept = torch.rand(len(x), 1, 1, device=x.device) >= share
            mixed = mixed * kept / (1 - share)
        return x + mixed

    def _read(self, x: Tensor, features: Tensor) -> Tensor:
        """What the readout reads."""
        normed: Tensor = self.out_norm(x)
        return torch.cat((normed, features), dim=-1) if self.skip else normed


class PublishedEncoder(_Layers):
    """Features in their places, (batch, time, channels * bands), to latents of the past alone."""

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__(settings, PublishedMamba2)

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> PublishedState:
        """Return the state of silence before the first bin."""
        states = tuple(m.initial_state(batch, dtype, device) for m in self._mixers())
        return PublishedState(self.tokenizer.initial_state(batch, dtype, device), states)

    def forward(
        self, features: Tensor, share: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        """Encode a whole window, starting from silence; see `EncoderSettings.places`."""
        state = self.initial_state(features.shape[0], features.dtype, features.device)
        return self._step(features, state, share, vector)[0]

    def step(self, features: Tensor, state: PublishedState) -> tuple[Tensor, PublishedState]:
        """Encode a chunk of any length and return the state that the next chunk starts from."""
        return self._step(features, state)

    def _step(
        self,
        features: Tensor,
        state: PublishedState,
        share: Tensor | None = None,
        vector: Tensor | None = None,
    ) -> tuple[Tensor, PublishedState]:
        tokens, tokenizer = self.tokenizer.step(features, state.tokenizer)
        tokens = hidden(tokens, share, vector)
        x, states = self._dropped(tokens), []
        for layer, (norm, mixer) in enumerate(zip(self.norms, self._mixers(), strict=True)):
            mixed, after = mixer.step(norm(x), state.layers[layer])
            x = self._added(x, mixed, layer)
            states.append(after)
        return self._read(x, features), PublishedState(tokenizer, tuple(states))

    def _mixers(self) -> list[PublishedMamba2]:
        return [mixer for mixer in self.mixers if isinstance(mixer, PublishedMamba2)]


class BidirectionalPublishedEncoder(_Layers):
    """Features in their places, (batch, time, channels * bands), to latents of the whole window."""

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__(settings, BidirectionalPublishedMamba2)

    def forward(
        self, features: Tensor, share: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        """Encode a whole window; see `EncoderSettings.places`."""
        x = self._dropped(hidden(self.tokenizer(features), share, vector))
        for layer, (norm, mixer) in enumerate(zip(self.norms, self.mixers, strict=True)):
            x = self._added(x, mixer(norm(x)), layer)
        return self._read(x, features)


def hidden(tokens: Tensor, share: Tensor | None, vector: Tensor | None) -> Tensor:
    """Tokens (batch, time, d_model) with a share (batch, time, 1) of each replaced by a vector."""
    if share is None or vector is None:
        return tokens
    return tokens + share * (vector - tokens)


def _arrays(encoder: nn.Module) -> dict[str, Tensor]:
    """The trained numbers under their own names."""
    return dict(encoder.named_parameters())


PUBLISHED = TrainedEncoder(
    PublishedSettings, PublishedEncoder, BidirectionalPublishedEncoder, _arrays
)
