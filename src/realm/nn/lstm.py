"""A long short-term memory network in the place of the Mamba-2 encoder, as a baseline."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


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
