"""What student and teacher have in common: adapters in front, a behavior head at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from realm.nn.adapters import SessionAdapters, SessionInfo
from realm.nn.behavior_head import BehaviorHead

if TYPE_CHECKING:
    from realm.data.windows import Windows


class SessionModel(nn.Module):
    """A model of several sessions, to which more can be added later."""

    def __init__(self, d_model: int, sessions: Sequence[SessionInfo], behavior_dims: int) -> None:
        super().__init__()
        if not sessions:
            raise ValueError("expected at least one session, got none; pass one SessionInfo each")
        self.adapters = SessionAdapters(d_model, sessions[0].n_bands)
        self.head = BehaviorHead(d_model, behavior_dims)
        for session in sessions:
            SessionModel.add_session(self, session)

    @property
    def sessions(self) -> list[SessionInfo]:
        """The sessions of this model, in the order they were added."""
        return list(self.adapters.sessions.values())

    def add_session(self, session: SessionInfo) -> None:
        """Add a session; what the model computes for the others stays the same bit for bit."""
        self.adapters.add_session(session)
        self.head.add_session(session.session_id)

    @property
    def d_model(self) -> int:
        """The width of the latents."""
        return self.adapters.d_model

    def session_parameters(self, session_id: str) -> list[nn.Parameter]:
        """Return what calibration to one session trains: its adapter, and the head of all."""
        return [*self.adapters.own_parameters(session_id), *self.head.parameters()]

    def set_behavior_scale(self, session_id: str, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation (dims,) of a session's behavior, in its units."""
        self.adapters.session(session_id)
        self.head.set_scale(session_id, mean, std)

    def to_units(self, behavior: Tensor, session_id: str) -> Tensor:
        """Turn normalized behavior (..., dims) into the session's units."""
        self.adapters.session(session_id)
        return self.head.to_units(behavior, session_id)

    def normalize_behavior(self, behavior: Tensor, session_id: str) -> Tensor:
        """Turn behavior (..., dims) in the session's units into normalized behavior."""
        self.adapters.session(session_id)
        return self.head.normalize(behavior, session_id)

    def targets(self, windows: Sequence[Windows]) -> tuple[Tensor, Tensor]:
        """Normalized behavior (batch, time, dims) and where it is known (batch, time).

        The groups stand one below the other.
        """
        behavior = [self.normalize_behavior(w.behavior, w.session_id) for w in windows]
        return torch.cat(behavior), torch.cat([w.behavior_mask for w in windows])
