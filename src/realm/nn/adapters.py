"""Session adapters: how recordings of different channels meet one encoder.

All sessions of a subject share one map, with a row per channel name and band; a session adds a
small difference of its own and a bias. Electrodes stay roughly where they are while their signals
drift, so most of the map is common, and a session with few labels lives on what the others
taught it. A session that lacks channels, or lists them in another order, picks its rows by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

# A session's own difference moves ten times less per optimizer step than the shared map.
DIFFERENCE_SCALE = 0.1


class SessionInfo(NamedTuple):
    """What a model must know of a session before it sees any of its data."""

    session_id: str
    subject: str
    channel_names: tuple[str, ...]
    n_bands: int


def parameter_key(name: str) -> str:
    """Return a name that torch accepts for a parameter; different names give different keys."""
    safe = "".join(c if c.isalnum() or c == "-" else f"_{ord(c):x}_" for c in name)
    return "id-" + safe  # never the name of a method, never empty


class SessionMaps(nn.Module):
    """Matrices (channels * bands, d_model), one per session, largely shared within a subject."""

    def __init__(self, d_model: int, n_bands: int, sessions: Iterable[SessionInfo] = ()) -> None:
        super().__init__()
        self.d_model, self.n_bands = d_model, n_bands
        self.sessions: dict[str, SessionInfo] = {}
        self._channels: dict[str, list[str]] = {}  # subject -> names, in the order of the rows
        self._rows: dict[str, Tensor] = {}  # session -> rows of its channels in the subject's map
        self.subject_maps = nn.ParameterDict()  # (channels of the subject, bands, d_model)
        self.session_differences = nn.ParameterDict()  # (channels, bands, d_model)
        self.session_biases = nn.ParameterDict()
        for session in sessions:
            self.add_session(session)

    def add_session(self, session: SessionInfo) -> None:
        """Add a session. The values of every other session's parameters stay as they are.

        If it brings channels that its subject did not have, the subject's map grows by new rows
        and becomes a new Parameter: make the optimizer afterwards.
        """
        self._check_new(session)
        subject = parameter_key(session.subject)
        known = self._channels.setdefault(session.subject, [])
        unseen = [name for name in session.channel_names if name not in known]
        if unseen:
            rows = self._draw_rows(len(unseen), len(session.channel_names))
            if known:
                rows = torch.cat((self.subject_maps[subject].detach(), rows))
            self.subject_maps[subject] = nn.Parameter(rows)
            known.extend(unseen)
        row_of = {name: row for row, name in enumerate(known)}
        key = parameter_key(session.session_id)
        self._rows[session.session_id] = torch.tensor([row_of[n] for n in session.channel_names])
        shape = (len(session.channel_names), self.n_bands, self.d_model)
        like = self.subject_maps[subject]
        self.session_differences[key] = nn.Parameter(like.new_zeros(shape))
        self.session_biases[key] = nn.Parameter(like.new_zeros(self._bias_shape(session)))
        self.sessions[session.session_id] = session

    def own_parameters(self, session_id: str) -> list[nn.Parameter]:
        """Return the parameters that no other session uses; training them changes no other."""
        session = self.session(session_id)
        key = parameter_key(session_id)
        own = [self.session_differences[key], self.session_biases[key]]
        if sum(other.subject == session.subject for other in self.sessions.values()) == 1:
            own.append(self.subject_maps[parameter_key(session.subject)])
        return own

    def session(self, session_id: str) -> SessionInfo:
        """Return what was said of a session when it was added."""
        if session_id not in self.sessions:
            raise ValueError(
                f"expected a session of this model ({', '.join(self.sessions) or 'it has none'}), "
                f"got {session_id!r}; add it with add_session and calibrate it"
            )
        return self.sessions[session_id]

    def weight(self, session_id: str) -> Tensor:
        """Return the session's matrix, (channels * bands, d_model)."""
        session = self.session(session_id)
        shared: Tensor = self.subject_maps[parameter_key(session.subject)]
        rows = shared.index_select(0, self._rows[session_id].to(shared.device))
        difference: Tensor = self.session_differences[parameter_key(session_id)]
        return (rows + DIFFERENCE_SCALE * difference).flatten(0, 1)

    def bias(self, session_id: str) -> Tensor:
        """Return the session's bias."""
        bias: Tensor = self.session_biases[parameter_key(session_id)]
        return bias

    def _bias_shape(self, session: SessionInfo) -> tuple[int, ...]:
        raise NotImplementedError

    def _draw_rows(self, n_rows: int, n_channels: int) -> Tensor:
        raise NotImplementedError

    def _check_new(self, session: SessionInfo) -> None:
        where = f"session {session.session_id!r}"
        names = session.channel_names
        if session.session_id in self.sessions:
            raise ValueError(f"expected a new session, got {where} again; it is already here")
        if session.n_bands != self.n_bands:
            raise ValueError(
                f"expected {self.n_bands} bands as in the other sessions, got {session.n_bands} "
                f"in {where}; prepare all sessions with one signal configuration"
            )
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"expected channel names that are all different, got {', '.join(names) or 'none'} "
                f"in {where}; give every channel its own name"
            )


class SessionAdapters(SessionMaps):
    """Bring the features of any session to the width of the encoder."""

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
        weight = self.weight(session_id)
        flat = features.flatten(2).to(weight.dtype)  # (batch, time, channels * bands)
        return torch.matmul(flat, weight) + self.bias(session_id)

    def _bias_shape(self, session: SessionInfo) -> tuple[int, ...]:
        return (self.d_model,)

    def _draw_rows(self, n_rows: int, n_channels: int) -> Tensor:
        # Uncorrelated features of unit variance arrive with unit variance.
        std = (n_channels * self.n_bands) ** -0.5
        return torch.randn(n_rows, self.n_bands, self.d_model).mul_(std)


class SessionReadout(SessionMaps):
    """Bring latents back to the channels and bands of any session: the adapter's transpose."""

    def forward(self, latent: Tensor, session_id: str) -> Tensor:
        """Map (batch, time, d_model) to (batch, time, channels, bands)."""
        weight = self.weight(session_id)
        flat = torch.matmul(latent, weight.t())  # (batch, time, channels * bands)
        return flat.view(*latent.shape[:2], *self.bias(session_id).shape) + self.bias(session_id)

    def _bias_shape(self, session: SessionInfo) -> tuple[int, ...]:
        return (len(session.channel_names), self.n_bands)

    def _draw_rows(self, n_rows: int, n_channels: int) -> Tensor:
        # Small, so that a fresh readout predicts about the mean, which is zero.
        return torch.randn(n_rows, self.n_bands, self.d_model).mul_(0.1 * self.d_model**-0.5)
