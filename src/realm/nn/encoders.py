"""The half of an encoder that trains: its settings, its networks, and its arrays for a bundle.

The registry and the half for the rig are in `realm.streaming.encoders`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny
from torch import Tensor, nn

from realm.streaming.encoders import MAMBA2, find_encoder


class EncoderSettings(BaseModel):
    """Base of the settings of an encoder: they have `d_model`, the width of the latents.

    All but those of Mamba-2 have `kind`, a `Literal` of the encoder's name with it as default. A
    setting that the rig must know has the name of a field of the encoder's `Sizes`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    if TYPE_CHECKING:

        @property
        def d_model(self) -> int:
            """Width of the latents."""

    @property
    def latent_width(self) -> int:
        """Numbers in a bin of what the encoder gives; the head reads them."""
        return self.d_model

    @property
    def places(self) -> tuple[int, int] | None:
        """Channels and bands, where it takes channels in fixed places and no session's adapter.

        Such an encoder has a tokenizer. Called with `(features, share, vector)` it puts `vector`
        (d_model,) in the place of this share (batch, time, 1) of each token.
        """
        return None


class StreamingEncoder(Protocol):
    """What the student asks of a causal encoder, a module of torch."""

    d_model: int

    def initial_state(
        self,
        batch: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Any:
        """Return the state of silence before the first bin."""

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Encode a chunk (batch, time, d_model) of any length; leave `state` untouched."""


@dataclass(frozen=True)
class TrainedEncoder:
    """One kind of encoder where networks are trained.

    Attributes:
        settings: class of its section in a recipe.
        causal: from its settings to a module that is a `StreamingEncoder` and whose call encodes a
            whole window from silence.
        bidirectional: from its settings to a module with `d_model` that encodes a whole window
            (batch, time, d_model); None: it cannot be a teacher's.
        arrays: the trained numbers of its causal module for a bundle, names and shapes as its
            `Sizes` says, without adapter, head and scale; None: it cannot be bundled.
    """

    settings: type[EncoderSettings]
    causal: Callable[[Any], nn.Module]
    bidirectional: Callable[[Any], nn.Module] | None = None
    arrays: Callable[[nn.Module], Mapping[str, Tensor]] | None = None


def kind_of(settings: EncoderSettings) -> str:
    """The kind of encoder that these are the settings of."""
    return str(getattr(settings, "kind", MAMBA2))


def trained_encoder(kind: str) -> TrainedEncoder:
    """The half of an encoder that trains.

    Raises:
        ValueError: there is none of this kind, or its module is not what it should be.
    """
    place = find_encoder(kind).training
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"encoder {kind!r}: expected its networks at {place!r}, but {error}; repair or remove "
            "the package that adds it"
        ) from error
    if not isinstance(found, TrainedEncoder):
        raise ValueError(
            f"encoder {kind!r}: expected a realm.nn.encoders.TrainedEncoder at {place!r}, got "
            f"{found!r}; correct that package"
        )
    return found


def causal_encoder(settings: EncoderSettings) -> nn.Module:
    """An untrained encoder for a student."""
    return trained_encoder(kind_of(settings)).causal(settings)


def bidirectional_encoder(settings: EncoderSettings) -> nn.Module:
    """An untrained encoder for a teacher.

    Raises:
        ValueError: encoders of this kind see only the past.
    """
    kind = kind_of(settings)
    make = trained_encoder(kind).bidirectional
    if make is None:
        raise ValueError(
            f"encoder {kind!r}: expected one that also reads backwards for the teacher, but it "
            f"reads forwards only; choose another for pretrain.encoder, such as {MAMBA2!r}"
        )
    return make(settings)


def settings_class(content: Any) -> type[EncoderSettings]:
    """The class of settings that a section of a recipe asks for by its `kind`; Mamba-2 without."""
    kind = content.get("kind", MAMBA2) if isinstance(content, Mapping) else MAMBA2
    return trained_encoder(str(kind)).settings


def _chosen(content: Any) -> Any:
    if isinstance(content, EncoderSettings):
        return content
    settings = settings_class(content)
    if isinstance(content, Mapping) and "kind" not in settings.model_fields:
        content = {name: value for name, value in content.items() if name != "kind"}
    return settings.model_validate(content)


# The type of a field of a recipe that holds the settings of an encoder of any kind.
AnyEncoder = Annotated[SerializeAsAny[EncoderSettings], BeforeValidator(_chosen)]
