"""What student and teacher have in common: adapters in front, a behavior head at the end.

The head predicts behavior in normalized units, (value - mean) / std with the statistics of the
session's own training time, so that sessions recorded in pixels, metres or meters per second share
one head. The statistics are buffers: they are saved with the weights and are never trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from realm.nn.adapters import SessionAdapters, SessionInfo, parameter_key
from realm.nn.places import ChannelPlaces


class BehaviorHead(nn.Module):
    """Latents (batch, time, d_model) to normalized behavior (batch, time, dims)."""

    def __init__(self, d_model: int, behavior_dims: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of no dims, where there is no label
            self.linear = nn.Linear(d_model, behavior_dims)
            # Small, so that a fresh head predicts about the mean, which is zero.
            nn.init.normal_(self.linear.weight, std=0.1 * d_model**-0.5)
        nn.init.zeros_(self.linear.bias)
        self.scales = nn.Module()  # a buffer (2, dims) per session: mean and std

    @property
    def behavior_dims(self) -> int:
        """How many values of behavior are decoded in each bin."""
        return self.linear.out_features

    def forward(self, latent: Tensor) -> Tensor:
        """Decode normalized behavior."""
        return self.linear(latent)  # type: ignore[no-any-return]

    def add_session(self, session_id: str) -> None:
        """Add a session whose behavior has mean 0 and standard deviation 1 until it is set."""
        scale = self.linear.weight.new_tensor([[0.0], [1.0]]).repeat(1, self.behavior_dims)
        self.scales.register_buffer(parameter_key(session_id), scale)

    def set_scale(self, session_id: str, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation, each (dims,), in the units of the behavior.

        A dimension that never changes (std of zero) is only centred.
        """
        mean, std = torch.as_tensor(mean), torch.as_tensor(std)
        scale = self.scale(session_id)
        for name, values in (("mean", mean), ("std", std)):
            if tuple(values.shape) != (self.behavior_dims,) or not bool(values.isfinite().all()):
                raise ValueError(
                    f"expected {self.behavior_dims} finite values as behavior {name} of session "
                    f"{session_id!r}, got {values.tolist()}; leave missing behavior out of it"
                )
        std = torch.where(std > 0, std, torch.ones_like(std))
        with torch.no_grad():
            scale.copy_(torch.stack((mean.to(scale), std.to(scale))))

    def scale(self, session_id: str) -> Tensor:
        """Return mean and standard deviation of a session, (2, dims)."""
        return self.scales.get_buffer(parameter_key(session_id))

    def to_units(self, behavior: Tensor, session_id: str) -> Tensor:
        """Turn normalized behavior (..., dims) into the session's units."""
        mean, std = self.scale(session_id)
        return torch.addcmul(mean, behavior, std)

    def normalize(self, behavior: Tensor, session_id: str) -> Tensor:
        """Turn behavior (..., dims) in the session's units into normalized behavior."""
        mean, std = self.scale(session_id)
        return torch.div(behavior.to(mean.dtype) - mean, std)


if TYPE_CHECKING:
    from realm.data.windows import Windows


class SessionModel(nn.Module):
    """A model of several sessions, to which more can be added later.

    `places`, where an encoder takes channels in fixed places: how many channels and bands.
    """

    adapters: SessionAdapters | ChannelPlaces

    def __init__(
        self,
        d_model: int,
        sessions: Sequence[SessionInfo],
        behavior_dims: int,
        places: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if places is not None:
            self.adapters = ChannelPlaces(*places)
        elif sessions:
            self.adapters = SessionAdapters(d_model, sessions[0].n_bands)
        else:
            raise ValueError("expected at least one session, got none; pass one SessionInfo each")
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

    def new_head(self, behavior_dims: int) -> None:
        """Replace the head by an untrained one for so many dimensions of behavior."""
        like = self.head.linear.weight
        self.head = BehaviorHead(self.d_model, behavior_dims).to(like)
        for session in self.sessions:
            self.head.add_session(session.session_id)

    @property
    def d_model(self) -> int:
        """The width of the latents."""
        return self.head.linear.in_features

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
