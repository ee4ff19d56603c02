"""Weights of the published encoder under the names of the released checkpoints, as our own.

The released encoders carry a table of sessions and, where they are bidirectional, a square map in
each layer that nothing reads. They have no counterpart here and are left out, once their names and
shapes are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from realm.nn.published.encoder import (
    BidirectionalPublishedEncoder,
    PublishedEncoder,
    PublishedSettings,
)

# Our settings by the names that a checkpoint gives them; others must have one of these values.
SETTINGS = {
    "n_channels": "channels",
    "n_bands": "bands",
    "n_layers": "layers",
    "d_model": "d_model",
    "d_state": "d_state",
    "headdim": "headdim",
    "expand": "expand",
    "d_conv": "conv_kernel",
    "d_channel": "d_channel",
    "eca_kernel": "attention_kernel",
    "dropout": "dropout",
    "drop_path_rate": "drop_path",
}
DEFAULTS = {"n_layers": 4}  # where a checkpoint says nothing and ours is another
FIXED = {"n_spatial_patches": 1, "block_type": "mamba"}
OTHERS = ("bidirectional", "max_sessions")
MIXER = {
    "in_proj.weight": "to_signal_and_gate.weight",
    "conv1d.weight": "conv_weight",
    "conv1d.bias": "conv_bias",
    "ssd.bc_proj.weight": "to_BC.weight",
    "ssd.dt_proj.weight": "to_dt.weight",
    "ssd.dt_proj.bias": "to_dt.bias",
    "ssd.A_log": "A_log",
    "ssd.D": "D",
    "out_proj.weight": "out.weight",
}
ENDS = {
    "temporal_conv.0.weight": "tokenizer.conv_weight",
    "temporal_conv.0.bias": "tokenizer.conv_bias",
    "eca_conv.weight": "tokenizer.attention_weight",
    "spatial_proj.weight": "tokenizer.project.weight",
    "spatial_proj.bias": "tokenizer.project.bias",
    "spatial_norm.weight": "tokenizer.norm.weight",
    "spatial_norm.bias": "tokenizer.norm.bias",
    "out_norm.weight": "out_norm.weight",
    "out_norm.bias": "out_norm.bias",
}


class Form(NamedTuple):
    """How one kind of array is laid out there, seen from ours, and back."""

    theirs: Callable[[Tensor], Tensor]
    ours: Callable[[Tensor], Tensor]


FORMS = {
    "temporal_conv.0.weight": Form(lambda w: w.permute(1, 2, 0), lambda w: w.permute(2, 0, 1)),
    "eca_conv.weight": Form(lambda w: w[None, None], lambda w: w[0, 0]),
    "conv1d.weight": Form(lambda w: w.T[:, None], lambda w: w[:, 0].T),
}
AS_IT_IS = Form(lambda w: w, lambda w: w)


class Released(NamedTuple):
    """What the settings of a checkpoint say."""

    settings: PublishedSettings
    bidirectional: bool
    sessions: int  # rows of its table of sessions


def released_settings(kwargs: Mapping[str, Any]) -> Released:
    """Read the settings that a checkpoint stores of its encoder.

    Raises:
        ValueError: one is unknown, of another type or out of range; the message names it.
    """
    unknown = sorted(set(map(str, kwargs)) - {*SETTINGS, *FIXED, *OTHERS})
    if unknown:
        raise ValueError(
            f"encoder_kwargs: expected {', '.join([*SETTINGS, *OTHERS])}, got also "
            f"{', '.join(unknown[:6])}; give a checkpoint of the published encoder"
        )
    for name, value in FIXED.items():
        if kwargs.get(name, value) != value:
            raise ValueError(
                f"encoder_kwargs: expected {name} {value!r}, got {kwargs[name]!r}; other encoders "
                "were not published"
            )
    both, sessions = kwargs.get("bidirectional", True), kwargs.get("max_sessions", 200)
    if not isinstance(both, bool) or type(sessions) is not int or not 0 <= sessions <= 100_000:
        raise ValueError(
            "encoder_kwargs: expected bidirectional as true or false and max_sessions as a whole "
            f"number, got {both!r} and {sessions!r}; the checkpoint is damaged"
        )
    given = {ours: kwargs.get(name, DEFAULTS.get(name)) for name, ours in SETTINGS.items()}
    given = {name: value for name, value in given.items() if value is not None}
    return Released(PublishedSettings.model_validate(given, strict=True), both, sessions)


def encoder_of(released: Released, state: Mapping[str, Any]) -> nn.Module:
    """The encoder with the weights of a checkpoint, ready to encode.

    Args:
        released: from `released_settings`.
        state: its arrays by name, as the checkpoint has them.

    Raises:
        ValueError: an array is missing, unknown, of another shape or type, or not finite; the
            message names it.
    """
    layers = released.settings.layers
    if layers > len(state):  # before anything is built of it
        raise ValueError(
            f"encoder_kwargs: expected n_layers {layers} to fit the {len(state)} arrays; give a "
            "checkpoint whose settings and arrays belong together"
        )
    with torch.device("meta"):  # shapes without memory: what a checkpoint says is not believed yet
        make = BidirectionalPublishedEncoder if released.bidirectional else PublishedEncoder
        encoder = make(released.settings)
    empty = encoder.state_dict()
    pairs = dict(_names(released))
    expected = {name: tuple(_form(name).theirs(empty[own]).shape) for name, own in pairs.items()}
    width = released.settings.d_model
    unread: dict[str, tuple[int, ...]] = {"session_embed.weight": (released.sessions, width)}
    if released.bidirectional:
        for layer in range(layers):
            unread[f"layers.{layer}.causal_proj.weight"] = (width, width)
            unread[f"layers.{layer}.causal_proj.bias"] = (width,)
    _check(state, expected, unread)
    weights = {
        own: _form(name).ours(state[name].detach()).float().contiguous()
        for name, own in pairs.items()
    }
    encoder.load_state_dict(weights, assign=True)
    return encoder.requires_grad_(True).eval()


def _form(name: str) -> Form:
    return FORMS.get("conv1d.weight" if name.endswith("conv1d.weight") else name, AS_IT_IS)


def _names(released: Released) -> Iterator[tuple[str, str]]:
    """The name of every array there and here."""
    yield from ENDS.items()
    sides = {"": ""}
    if released.bidirectional:
        sides = {"fwd.": "onward.", "bwd.": "backward_in_time."}
    for layer in range(released.settings.layers):
        for part in ("weight", "bias"):
            yield f"layer_norms.{layer}.{part}", f"norms.{layer}.{part}"
            if released.bidirectional:
                yield f"layers.{layer}.merge.{part}", f"mixers.{layer}.merge.{part}"
                yield f"layers.{layer}.norm.{part}", f"mixers.{layer}.norm.{part}"
        for theirs, ours in sides.items():
            for name, own in MIXER.items():
                yield f"layers.{layer}.{theirs}{name}", f"mixers.{layer}.{ours}{own}"


def _check(
    state: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    unread: Mapping[str, tuple[int, ...]],
) -> None:
    missing = sorted(set(expected) - set(state))
    unknown = sorted(set(map(str, state)) - set(expected) - set(unread))
    if missing or unknown:
        raise ValueError(
            f"expected the {len(expected)} arrays of such an encoder, but "
            f"{', '.join([*missing, *unknown][:6])} {'is missing' if missing else 'is unknown'}; "
            "give a checkpoint whose settings and arrays belong together"
        )
    for name, shape in {**unread, **expected}.items():
        array = state.get(name)
        if array is None:
            continue
        if not isinstance(array, Tensor) or not array.is_floating_point():
            found = array.dtype if isinstance(array, Tensor) else type(array).__name__
            raise ValueError(f"{name}: expected real numbers, got {found}; it is another file")
        if tuple(array.shape) != shape:
            raise ValueError(
                f"{name}: expected the shape {shape} that the settings say, got "
                f"{tuple(array.shape)}; give a checkpoint whose settings and arrays belong together"
            )
        if name in expected and not bool(array.isfinite().all()):
            raise ValueError(
                f"{name}: expected finite numbers, got NaN or infinity; the training diverged or "
                "the file is damaged"
            )
