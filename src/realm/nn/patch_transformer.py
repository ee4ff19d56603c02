"""A masked autoencoder that attends over patches of channels, in both directions of time.

Of every bin, each group of neighbouring channels (a patch) becomes one token, through an embedding
that belongs to the session alone. All tokens of a window attend to each other; their rotary
position is their bin, which the patches of a bin share, so that what tells these apart is the
embedding. It is how multi-session Transformers of neural recordings are commonly built, and a
baseline for the teacher: nothing is shared by the sessions but the layers in between. It sees the
future: no `step`.

Both maps of a patch, from features to tokens and back, belong to one session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.adapters import SessionInfo, parameter_key
from realm.nn.attention import Geometry, TransformerBlock, check_heads, rotation


class PatchGrid(NamedTuple):
    """How a session's channels are cut into patches: in their order, the last may be smaller."""

    channels: int
    size: int
    patches: int

    @classmethod
    def of(cls, channels: int, patch_channels: int) -> PatchGrid:
        """As few patches of at most `patch_channels` as there can be, about equally large."""
        size = -(-channels // -(-channels // patch_channels))
        return cls(channels, size, -(-channels // size))

    def cut(self, x: Tensor, axis: int) -> Tensor:
        """Turn axis `axis` (channels) into two (patches, size), zeros where there is no channel."""
        after = x.dim() - 1 - axis
        padded = F.pad(x, (0, 0) * after + (0, self.patches * self.size - self.channels))
        return padded.reshape(*x.shape[:axis], self.patches, self.size, *x.shape[axis + 1 :])


class PatchEmbedding(nn.Module):
    """One session's map of (batch, time, channels, bands) to (batch, time, patches, d_model)."""

    def __init__(self, grid: PatchGrid, bands: int, d_model: int) -> None:
        super().__init__()
        self.grid, self.bands = grid, bands
        # Uncorrelated features of unit variance arrive with unit variance.
        std = (grid.size * bands) ** -0.5
        self.weight = nn.Parameter(std * torch.randn(grid.channels, bands, d_model))
        self.bias = nn.Parameter(0.1 * torch.randn(grid.patches, d_model))  # tells patches apart

    def forward(self, features: Tensor) -> Tensor:
        """Sum over the channels and bands of each patch."""
        cut = self.grid.cut(features.to(self.weight.dtype), 2).flatten(3)
        weight = self.grid.cut(self.weight, 0).flatten(1, 2)  # (patches, size * bands, d_model)
        return torch.einsum("btpf,pfd->btpd", cut, weight) + self.bias

    def share(self, mask: Tensor) -> Tensor:
        """Share of each patch's channels that is hidden, (batch, time, patches)."""
        there = self.grid.cut(torch.ones_like(self.weight[:, 0, 0]), 0).sum(1)  # (patches,)
        return self.grid.cut(mask.to(self.weight.dtype), 2).sum(3) / there


class PatchReadout(nn.Module):
    """The way back: (batch, time, patches, d_model) to (batch, time, channels, bands)."""

    def __init__(self, grid: PatchGrid, bands: int, d_model: int) -> None:
        super().__init__()
        self.grid = grid
        # Small, so that a fresh readout predicts about the mean, which is zero.
        std = 0.1 * d_model**-0.5
        self.weight = nn.Parameter(std * torch.randn(grid.channels, bands, d_model))
        self.bias = nn.Parameter(torch.zeros(grid.channels, bands))

    def forward(self, tokens: Tensor) -> Tensor:
        """Read each channel from the token of its patch."""
        weight = self.grid.cut(self.weight, 0)  # (patches, size, bands, d_model)
        values = torch.einsum("btpd,pcnd->btpcn", tokens, weight).flatten(2, 3)
        return values[:, :, : self.grid.channels] + self.bias


if TYPE_CHECKING:
    from realm.data.windows import Windows


class PatchOutput(NamedTuple):
    """What the network says of every bin, one entry for each group of windows given."""

    latent: list[Tensor]  # (batch, time, patches * d_model)
    reconstruction: list[Tensor]  # (batch, time, channels, bands)


class PatchTransformer(nn.Module):
    """Patch embeddings, bidirectional Transformer, and a readout of every patch's channels.

    `window_bins` is how much it reads at once, in training and afterwards: attention over more
    bins than it was trained on is of no use. Masks are (batch, time, channels), True = hidden, one
    for each group of windows. A latent of a bin holds those of its patches side by side.

    Raises:
        ValueError: no session, no channel in a patch, or sizes of the layers that do not fit.
    """

    def __init__(
        self,
        sessions: Sequence[SessionInfo],
        window_bins: int,
        *,
        d_model: int = 128,
        layers: int = 4,
        headdim: int = 32,
        patch_channels: int = 32,
    ) -> None:
        super().__init__()
        check_heads(d_model, headdim, window_bins)
        if not sessions or patch_channels < 1:
            raise ValueError(
                "expected at least one session and patches of at least one channel, got "
                f"{len(sessions)} and {patch_channels}; pass one SessionInfo each"
            )
        self.d_model, self.headdim, self.window_bins = d_model, headdim, window_bins
        self.patch_channels = patch_channels
        self.embeddings, self.readouts = nn.ModuleDict(), nn.ModuleDict()
        self.sessions = {session.session_id: session for session in sessions}
        for session in sessions:
            self._draw(session)
        self.mask_vector = nn.Parameter(0.1 * torch.randn(d_model))
        self.encoder = nn.ModuleList(TransformerBlock(d_model, headdim) for _ in range(layers))

    def _draw(self, session: SessionInfo) -> None:
        grid = PatchGrid.of(len(session.channel_names), self.patch_channels)
        key = parameter_key(session.session_id)
        self.embeddings[key] = PatchEmbedding(grid, session.n_bands, self.d_model)
        self.readouts[key] = PatchReadout(grid, session.n_bands, self.d_model)

    def add_session(self, session: SessionInfo) -> None:
        """Add a session, which starts as the last one of its subject with the same channels.

        Raises:
            ValueError: there is no such session.
        """
        like = [
            known
            for known in self.sessions.values()
            if (known.subject, known.channel_names) == (session.subject, session.channel_names)
        ]
        if not like:
            raise ValueError(
                f"expected a session of subject {session.subject!r} with the channels of "
                f"{session.session_id!r} among {', '.join(self.sessions)}, got none; train on one"
            )
        self._draw(session)
        key, same = parameter_key(session.session_id), parameter_key(like[-1].session_id)
        self.embeddings[key].load_state_dict(self.embeddings[same].state_dict())
        self.readouts[key].load_state_dict(self.readouts[same].state_dict())
        self.sessions[session.session_id] = session

    def forward(
        self, windows: Sequence[Windows], masks: Sequence[Tensor] | None = None
    ) -> PatchOutput:
        """Encode windows with entries hidden, then read out all of their features."""
        tokens = self._encode(windows, masks)
        reconstruction = [
            self.readouts[parameter_key(w.session_id)](rows)
            for w, rows in zip(windows, tokens, strict=True)
        ]
        return PatchOutput([rows.flatten(2) for rows in tokens], reconstruction)

    def encode(
        self, windows: Sequence[Windows], masks: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the latents (batch, time, patches * d_model) of each group, by default unhidden.

        Raises:
            ValueError: a session is unknown, or features or a mask have another shape.
        """
        return [rows.flatten(2) for rows in self._encode(windows, masks)]

    def session_parameters(self, session_id: str) -> list[nn.Parameter]:
        """Return what no other session uses when it is encoded: its patch embedding."""
        return list(self._embedding(session_id).parameters())

    def _encode(self, windows: Sequence[Windows], masks: Sequence[Tensor] | None) -> list[Tensor]:
        """Tokens (batch, time, patches, d_model); windows of as many patches go together."""
        hidden = [None] * len(windows) if masks is None else masks
        tokens = [self._embed(w, mask) for w, mask in zip(windows, hidden, strict=True)]
        encoded: dict[int, Tensor] = {}
        for shape in dict.fromkeys(rows.shape[1:] for rows in tokens):
            chosen = [k for k, rows in enumerate(tokens) if rows.shape[1:] == shape]
            together = self._attend(torch.cat([tokens[k] for k in chosen]))
            parts = torch.split(together, [len(tokens[k]) for k in chosen])
            encoded |= dict(zip(chosen, parts, strict=True))
        return [encoded[k] for k in range(len(tokens))]

    def _attend(self, tokens: Tensor) -> Tensor:
        _, time, patches, _ = tokens.shape
        position = torch.arange(time, device=tokens.device).repeat_interleave(patches)
        turned = rotation(position, self.headdim, self.window_bins)
        x, geometry = tokens.flatten(1, 2), Geometry(turned.to(tokens.dtype), None)
        for block in self.encoder:
            assert isinstance(block, TransformerBlock)
            x = block(x, block.project(x), geometry)  # (batch, time * patches, d_model)
        return x.view(tokens.shape)

    def _embed(self, windows: Windows, mask: Tensor | None) -> Tensor:
        embedding, features = self._embedding(windows.session_id), windows.features
        expected = (embedding.grid.channels, embedding.bands)
        if features.dim() != 4 or tuple(features.shape[2:]) != expected:
            raise ValueError(
                f"expected features (batch, time, {expected[0]} channels, {expected[1]} bands) in "
                f"session {windows.session_id!r}, got {tuple(features.shape)}; give the channels "
                "and bands it was made for"
            )
        if mask is None:
            return embedding(features)  # type: ignore[no-any-return]
        if mask.shape != features.shape[:3]:
            raise ValueError(
                f"expected a mask (batch, time, channels) of {tuple(features.shape[:3])} for "
                f"session {windows.session_id!r}, got {tuple(mask.shape)}; draw it for them"
            )
        visible: Tensor = embedding(features.masked_fill(mask[..., None], 0.0))
        return visible + embedding.share(mask)[..., None] * self.mask_vector

    def _embedding(self, session_id: str) -> PatchEmbedding:
        if session_id not in self.sessions:
            raise ValueError(
                f"expected a session of this model ({', '.join(self.sessions)}), got "
                f"{session_id!r}; pretrain it with that session"
            )
        embedding = self.embeddings[parameter_key(session_id)]
        assert isinstance(embedding, PatchEmbedding)
        return embedding
