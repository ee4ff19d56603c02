"""Channels in fixed places: how recordings of different channels meet an encoder of shared weights.

Where `adapters.py` has a trained map for each session, this has none: channel k of a session goes
to place k, and the places after its last channel hold zeros, which is all that a mask of them does.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.adapters import SessionInfo


class ChannelPlaces(nn.Module):
    """Features of any session as (batch, time, channels * bands) of one size; has no weights.

    It offers what `SessionAdapters` offers; `d_model` is the width of what it gives.
    """

    like: Tensor

    def __init__(self, channels: int, n_bands: int, sessions: Iterable[SessionInfo] = ()) -> None:
        super().__init__()
        self.channels, self.n_bands, self.d_model = channels, n_bands, channels * n_bands
        self.sessions: dict[str, SessionInfo] = {}
        self.register_buffer("like", torch.zeros(0), persistent=False)  # dtype and device
        for session in sessions:
            self.add_session(session)

    def add_session(self, session: SessionInfo) -> None:
        """Add a session; it needs a place for each of its channels.

        Raises:
            ValueError: it has other bands, more channels than places, or is here already.
        """
        names, where = session.channel_names, f"session {session.session_id!r}"
        if session.session_id in self.sessions:
            raise ValueError(f"expected a new session, got {where} again; it is already here")
        if session.n_bands != self.n_bands:
            raise ValueError(
                f"expected features of {self.n_bands} bands, as the encoder was made for, got "
                f"{session.n_bands} in {where}; choose the bands in the section signal"
            )
        if not 1 <= len(set(names)) == len(names) <= self.channels:
            raise ValueError(
                f"expected 1 to {self.channels} channels with names that are all different, got "
                f"{len(names)} ({len(set(names))} different) in {where}; leave some channels out"
            )
        self.sessions[session.session_id] = session

    def session(self, session_id: str) -> SessionInfo:
        """Return what was said of a session when it was added."""
        if session_id not in self.sessions:
            raise ValueError(
                f"expected a session of this model ({', '.join(self.sessions) or 'it has none'}), "
                f"got {session_id!r}; add it with add_session and calibrate it"
            )
        return self.sessions[session_id]

    def own_parameters(self, session_id: str) -> list[nn.Parameter]:
        """Return the weights of this session alone: none."""
        self.session(session_id)
        return []

    def weight(self, session_id: str) -> Tensor:
        """The same as a matrix of zeros and ones, (channels * bands of the session, d_model)."""
        rows = len(self.session(session_id).channel_names) * self.n_bands
        return torch.eye(rows, self.d_model, dtype=self.like.dtype, device=self.like.device)

    def bias(self, session_id: str) -> Tensor:
        """Zeros, (d_model,)."""
        self.session(session_id)
        return self.like.new_zeros(self.d_model)

    def forward(self, features: Tensor, session_id: str) -> Tensor:
        """Map (batch, time, channels, bands) to (batch, time, d_model)."""
        session = self.session(session_id)
        expected = (len(session.channel_names), self.n_bands)
        if features.dim() != 4 or tuple(features.shape[2:]) != expected:
            raise ValueError(
                f"expected features (batch, time, {expected[0]} channels, {expected[1]} bands) in "
                f"session {session_id!r}, got {tuple(features.shape)}; its channels are "
                f"{', '.join(session.channel_names)}"
            )
        flat = features.flatten(2).to(self.like.dtype)
        return F.pad(flat, (0, self.d_model - flat.shape[2]))
