"""An encoder, leaky integration of a projection: the half that trains, in torch."""

from typing import Literal

import torch
from torch import nn

from realm.nn.encoders import EncoderSettings, TrainedEncoder


class LeakySettings(EncoderSettings):
    kind: Literal["leaky"] = "leaky"
    d_model: int = 16
    keep: float = 0.8


class Leaky(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.d_model, self.keep = settings.d_model, settings.keep
        self.mix = nn.Linear(settings.d_model, settings.d_model, bias=False)

    def initial_state(self, batch, dtype=None, device=None):
        return self.mix.weight.new_zeros((batch, self.d_model), dtype=dtype, device=device)

    def forward(self, x):
        return self.step(x, self.initial_state(len(x), x.dtype, x.device))[0]

    def step(self, x, state):
        out = []
        for bin_ in self.mix(x).unbind(1):
            state = self.keep * state + bin_
            out.append(state)
        return (torch.stack(out, 1) if out else x.new_zeros(x.shape)), state


LEAKY = TrainedEncoder(
    LeakySettings, Leaky, arrays=lambda encoder: {"mix.weight": encoder.mix.weight}
)
