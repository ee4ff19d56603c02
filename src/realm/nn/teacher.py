"""The teacher: a bidirectional masked autoencoder over many sessions.

Entries of the features are hidden and the teacher fills them in from what is left on both sides
in time and in the other channels. Its latents, of unhidden features, are what a student is aligned
to; a linear head on them allows the task loss to be mixed in. It sees the future: no `step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from realm.nn.adapters import SessionInfo, SessionReadout
from realm.nn.encoders import EncoderSettings, bidirectional_encoder, causal_encoder
from realm.nn.places import ChannelPlaces
from realm.nn.session_model import SessionModel

if TYPE_CHECKING:
    from realm.data.windows import Windows


class TeacherOutput(NamedTuple):
    """What the teacher says of every bin, rows in the order of the windows given."""

    latent: Tensor  # (batch, time, d_model)
    reconstruction: list[Tensor]  # one (batch, time, channels, bands) for each group of windows
    behavior: Tensor  # (batch, time, dims) in normalized units


class Teacher(SessionModel):
    """Adapter, mask vector, bidirectional encoder; a readout per session and a linear head.

    Masks are (batch, time, channels), True = hidden, one for each group of windows.

    With `causal`, its encoder is the student's: the same training without a look at the future.
    """

    def __init__(
        self,
        config: EncoderSettings,
        sessions: Sequence[SessionInfo],
        behavior_dims: int,
        *,
        causal: bool = False,
    ) -> None:
        super().__init__(config.latent_width, sessions, behavior_dims, config.places)
        self.readout = SessionReadout(config.latent_width, sessions[0].n_bands, sessions)
        self.mask_vector = nn.Parameter(0.1 * torch.randn(config.d_model))
        self.encoder = causal_encoder(config) if causal else bidirectional_encoder(config)

    def add_session(self, session: SessionInfo) -> None:
        """Add a session; what the model computes for the others stays the same bit for bit."""
        super().add_session(session)
        self.readout.add_session(session)

    def forward(
        self, windows: Sequence[Windows], masks: Sequence[Tensor] | None = None
    ) -> TeacherOutput:
        """Encode windows with entries hidden, then read out all features and the behavior."""
        latent = self.encode(windows, masks)
        groups = torch.split(latent, [w.features.shape[0] for w in windows])
        reconstruction = [
            self.readout(rows, w.session_id) for rows, w in zip(groups, windows, strict=True)
        ]
        return TeacherOutput(latent, reconstruction, self.head(latent))

    def encode(self, windows: Sequence[Windows], masks: Sequence[Tensor] | None = None) -> Tensor:
        """Return the latents (batch, time, d_model) of the windows, by default with all visible."""
        if masks is None:
            inputs = [self.adapters(w.features, w.session_id) for w in windows]
        elif isinstance(self.adapters, ChannelPlaces):
            return self._encode_tokens(windows, masks)
        else:
            inputs = [self._hide(w, mask) for w, mask in zip(windows, masks, strict=True)]
        return self.encoder(torch.cat(inputs))  # type: ignore[no-any-return]

    def _encode_tokens(self, windows: Sequence[Windows], masks: Sequence[Tensor]) -> Tensor:
        """Encode with an encoder that has a tokenizer: where all channels are hidden, its token is.

        The tokenizer reads what the hidden token stood for, as published; where some channels are
        hidden it does not read these.
        """
        inputs, shares = [], []
        for group, mask in zip(windows, masks, strict=True):
            self._check_mask(group, mask)
            some = mask & ~mask.all(-1, keepdim=True)
            visible = group.features.masked_fill(some[..., None], 0.0)
            inputs.append(self.adapters(visible, group.session_id))
            shares.append(mask.to(self.mask_vector.dtype).mean(-1, keepdim=True))
        encoded: Tensor = self.encoder(torch.cat(inputs), torch.cat(shares), self.mask_vector)
        return encoded

    def _check_mask(self, windows: Windows, mask: Tensor) -> None:
        if mask.shape != windows.features.shape[:3]:
            raise ValueError(
                f"expected a mask (batch, time, channels) of {tuple(windows.features.shape[:3])} "
                f"for session {windows.session_id!r}, got {tuple(mask.shape)}"
            )

    def _hide(self, windows: Windows, mask: Tensor) -> Tensor:
        self._check_mask(windows, mask)
        visible = windows.features.masked_fill(mask[..., None], 0.0)
        hidden_share = mask.to(self.mask_vector.dtype).mean(-1, keepdim=True)  # (batch, time, 1)
        inputs: Tensor = self.adapters(visible, windows.session_id)
        return inputs + hidden_share * self.mask_vector


class TeacherEnsemble(nn.Module):
    """Several teachers as one: its latents are theirs, side by side.

    Teachers that differ in nothing but what was drawn at random agree on what the signal says and
    differ in the rest, so a student learns more from all of them than from one.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def first(self) -> Teacher:
        """The first teacher."""
        member = self.members[0]
        assert isinstance(member, Teacher)
        return member

    @property
    def d_model(self) -> int:
        """Width of all latents together."""
        return self.first.d_model * len(self.members)

    @property
    def sessions(self) -> list[SessionInfo]:
        """The sessions that all of them know."""
        return self.first.sessions

    def add_session(self, session: SessionInfo) -> None:
        """Add a session to all of them."""
        for member in self.members:
            member.add_session(session)  # type: ignore[operator]

    def encode(self, windows: Sequence[Windows], masks: Sequence[Tensor] | None = None) -> Tensor:
        """Return the latents (batch, time, d_model of all) of the windows."""
        return torch.cat([member.encode(windows, masks) for member in self.members], dim=-1)  # type: ignore[operator]


AnyTeacher = Teacher | TeacherEnsemble
