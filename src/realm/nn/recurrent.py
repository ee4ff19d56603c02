"""Recurrent networks in the place of the Mamba-2 encoder, as baselines: GRU and LSTM."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from realm.nn.encoders import EncoderSettings, TrainedEncoder
from realm.nn.fusing import fused


class GRUSettings(EncoderSettings):
    """The size of a gated recurrent network."""

    kind: Literal["gru"] = "gru"
    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)


class LSTMSettings(EncoderSettings):
    """The size of a long short-term memory network."""

    kind: Literal["lstm"] = "lstm"
    d_model: int = Field(96, ge=1)
    layers: int = Field(1, ge=1)


class GRUState(NamedTuple):
    """The hidden values of all layers, (batch, layers, d_model)."""

    hidden: Tensor


class GRUEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know only the past."""

    def __init__(self, d_model: int, layers: int = 1) -> None:
        super().__init__()
        self.d_model = d_model
        self.n_layers = layers
        self.gru = nn.GRU(d_model, d_model, layers, batch_first=True)

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> GRUState:
        """Return the state of silence before the first bin."""
        shape = (batch, self.n_layers, self.d_model)
        weight = next(self.gru.parameters())
        return GRUState(weight.new_zeros(shape, dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Encode a whole window, starting from silence."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        """Encode a chunk of any length and return the state that the next chunk starts from."""
        if x.shape[1] == 0:
            return x.new_zeros(x.shape), state
        layer = fused("gru", x)
        if layer is None:
            return self._plain_step(x, state)
        y, after = x.transpose(0, 1), []
        for before, parameters in zip(state.hidden.unbind(1), self.gru.all_weights, strict=True):
            y = layer(y, before, *parameters)
            after.append(y[-1])
        return y.transpose(0, 1), GRUState(torch.stack(after, dim=1))

    def _plain_step(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        """Compute the same with torch's own network: short chunks, GPUs, oracle."""
        y, hidden = self.gru(x, state.hidden.transpose(0, 1).contiguous())
        return y, GRUState(hidden.transpose(0, 1))


class LSTMState(NamedTuple):
    """The hidden values and the cells of all layers, (batch, layers, d_model) each."""

    hidden: Tensor
    cell: Tensor


class LSTMEncoder(nn.Module):
    """Turn (batch, time, d_model) into latents of the same shape that know only the past."""

    def __init__(self, d_model: int, layers: int = 1) -> None:
        super().__init__()
        self.d_model = d_model
        self.n_layers = layers
        self.lstm = nn.LSTM(d_model, d_model, layers, batch_first=True)

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> LSTMState:
        """Return the state of silence before the first bin."""
        shape = (batch, self.n_layers, self.d_model)
        zeros = next(self.lstm.parameters()).new_zeros(shape, dtype=dtype, device=device)
        return LSTMState(zeros, zeros)

    def forward(self, x: Tensor) -> Tensor:
        """Encode a whole window, starting from silence."""
        return self.step(x, self.initial_state(x.shape[0], x.dtype, x.device))[0]

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Encode a chunk of any length and return the state that the next chunk starts from."""
        if x.shape[1] == 0:
            return x.new_zeros(x.shape), state
        before = tuple(part.transpose(0, 1).contiguous() for part in state)
        y, after = self.lstm(x, before)
        return y, LSTMState(*(part.transpose(0, 1) for part in after))


GRU = TrainedEncoder(GRUSettings, lambda ours: GRUEncoder(ours.d_model, ours.layers))
LSTM = TrainedEncoder(LSTMSettings, lambda ours: LSTMEncoder(ours.d_model, ours.layers))
