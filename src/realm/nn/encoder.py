"""Encoders: a stack of Mamba-2 mixers, causal for the student, bidirectional for the teacher.

Each layer adds to what came in: x + mixer(RMSNorm(x)). There is no norm after the last layer: the
amplitude of the signal carries the speed of the behavior, and a norm there would remove it.
The output of the last layer is the latent that student and teacher are aligned in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from realm.nn.encoders import EncoderSettings, TrainedEncoder
from realm.nn.mamba2 import BidirectionalMamba2, Mamba2, Mamba2State
from realm.nn.norms import RMSNorm

# Parameters of a mixer under their names in a bundle.
MIXER = {
    "to_gate.weight": "gate.weight",
    "to_gate.bias": "gate.bias",
    "to_xBC.weight": "xBC.weight",
    "to_dt.weight": "dt.weight",
    "to_dt.bias": "dt.bias",
    "conv_weight": "conv.weight",
    "conv_bias": "conv.bias",
    "B_bias": "B_bias",
    "C_bias": "C_bias",
    "A_log": "A_log",
    "D": "D",
    "norm_weight": "out_norm",
    "out.weight": "out.weight",
}


class EncoderConfig(EncoderSettings):
    """The size of a stack of Mamba-2 mixers.

    Attributes:
        layers: number of mixers.
        d_model: width of the latents.
        d_state: numbers that a channel of a mixer remembers.
        headdim: channels that share one decay; divides `d_model * expand`.
        expand: width of a mixer, in `d_model`.
        conv_kernel: bins that a mixer's short convolution reads.
        timescale_bins: shortest and longest time constant at the start of training, in bins.
    """

    layers: PositiveInt = 2
    d_model: PositiveInt = 96
    d_state: PositiveInt = 16
    headdim: PositiveInt = 32
    expand: PositiveInt = 2
    conv_kernel: PositiveInt = 4
    timescale_bins: tuple[float, float] = (5.0, 200.0)

    def mixer_arguments(self) -> dict[str, Any]:
        """Return the arguments of `Mamba2` and `BidirectionalMamba2`."""
        return self.model_dump(exclude={"layers"})


class EncoderState(NamedTuple):
    """The states of the layers, first to last."""

    layers: tuple[Mamba2State, ...]


class CausalEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know only the past."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.norms, self.mixers = _layers(config, Mamba2)

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> EncoderState:
        """Return the state of silence before the first bin."""
        return EncoderState(tuple(m.initial_state(batch, dtype, device) for m in self._mixers()))

    def forward(self, x: Tensor) -> Tensor:
        """Encode a whole window, starting from silence."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """Encode a chunk of any length and return the state that the next chunk starts from."""
        states = []
        for norm, mixer, before in zip(self.norms, self._mixers(), state.layers, strict=True):
            mixed, after = mixer.step(norm(x), before)
            x = x + mixed
            states.append(after)
        return x, EncoderState(tuple(states))

    def _mixers(self) -> list[Mamba2]:
        return [mixer for mixer in self.mixers if isinstance(mixer, Mamba2)]


class BidirectionalEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know the whole window."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.norms, self.mixers = _layers(config, BidirectionalMamba2)

    def forward(self, x: Tensor) -> Tensor:
        """Encode a whole window."""
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        return x


def _layers(
    config: EncoderConfig, mixer: type[Mamba2] | type[BidirectionalMamba2]
) -> tuple[nn.ModuleList, nn.ModuleList]:
    norms = nn.ModuleList(RMSNorm(config.d_model, eps=1e-5) for _ in range(config.layers))
    mixers = nn.ModuleList(mixer(**config.mixer_arguments()) for _ in range(config.layers))
    return norms, mixers


def _arrays(encoder: nn.Module) -> dict[str, Tensor]:
    if not isinstance(encoder, CausalEncoder):
        raise ValueError(
            f"expected a student with a Mamba-2 encoder, got {type(encoder).__name__}; "
            "bundle the student of a run, not a baseline"
        )
    arrays: dict[str, Tensor] = {}
    for index, (norm, mixer) in enumerate(zip(encoder.norms, encoder.mixers, strict=True)):
        arrays[f"layers.{index}.norm"] = norm.get_parameter("weight")
        values = dict(mixer.named_parameters())
        arrays |= {f"layers.{index}.{MIXER[name]}": value for name, value in values.items()}
    return arrays


MAMBA2 = TrainedEncoder(EncoderConfig, CausalEncoder, BidirectionalEncoder, _arrays)
