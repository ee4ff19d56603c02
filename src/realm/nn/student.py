"""The student: the compact causal model that is distilled, calibrated and deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from realm.nn.adapters import SessionInfo
from realm.nn.encoders import EncoderSettings, causal_encoder
from realm.nn.session_model import SessionModel

if TYPE_CHECKING:
    from realm.data.windows import Windows


class StudentOutput(NamedTuple):
    """What the student says of every bin, rows in the order of the windows given."""

    behavior: Tensor  # (batch, time, dims) in normalized units
    latent: Tensor  # (batch, time, d_model)


class Student(SessionModel):
    """Adapter of the session, causal encoder, linear head.

    `config` says which kind of encoder it is, see `realm.streaming.encoders`.
    """

    def __init__(
        self,
        config: EncoderSettings,
        sessions: Sequence[SessionInfo],
        behavior_dims: int,
    ) -> None:
        encoder = causal_encoder(config)
        super().__init__(config.latent_width, sessions, behavior_dims, config.places)
        self.encoder: Any = encoder

    def forward(self, windows: Sequence[Windows]) -> StudentOutput:
        """Decode windows of one or several sessions, all of one length, from silence."""
        inputs = torch.cat([self.adapters(w.features, w.session_id) for w in windows])
        latent = self.encoder(inputs)  # (batch, time, d_model)
        return StudentOutput(self.head(latent), latent)

    def initial_state(
        self,
        batch: int = 1,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Any:
        """Return the state of silence before the first bin."""
        return self.encoder.initial_state(batch, dtype, device)

    def step(self, features: Tensor, state: Any, session_id: str) -> tuple[StudentOutput, Any]:
        """Decode a chunk (batch, time, channels, bands) of one session, of any length."""
        latent, state = self.encoder.step(self.adapters(features, session_id), state)
        return StudentOutput(self.head(latent), latent), state
