"""The encoders that a student can have, by the name in recipes, decoders and bundles.

An `Encoder` is a record in two halves. The half for the rig is here and needs numpy alone: the
sizes, which say the shape of every array in a bundle, and the step of one bin. The half for
training is a `TrainedEncoder` of `realm.nn.encoders`; it is named by its module, which is imported
only where networks are trained.

Another package adds an encoder by an entry point, whose name is the encoder's kind:

    [project.entry-points."realm.encoders"]
    mine = "my_package.rig:MINE"

A recipe then asks for it: `[distill] encoder = { kind = "mine", d_model = 32 }`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from realm import extensions
from realm.streaming.published import PublishedSizes, PublishedStep
from realm.streaming.weights import Reals, Sizes, StudentSizes

GROUP = "encoders"
MAMBA2 = StudentSizes.kind


class BinStep(Protocol):
    """A student for one session, adapter and head included, as a step of one bin in numpy."""

    def initial_state(self) -> Any:
        """State before the first bin: arrays and whole numbers in nested tuples, all finite."""

    def step(self, features: Reals, state: Any) -> tuple[Reals, Any]:
        """Decode one bin: features (F,) to behavior (D,) in its unit; `state` is not changed."""


@dataclass(frozen=True)
class Encoder:
    """One kind of encoder.

    Attributes:
        training: "module:NAME" of its `TrainedEncoder`.
        sizes: its class of `Sizes`; None: it cannot be bundled.
        step: from arrays in one dtype, by name as `sizes` says, and the sizes to a `BinStep`; None
            for the encoder of this package, whose runtime takes whole chunks.
    """

    training: str
    sizes: type[Sizes] | None = None
    step: Callable[[dict[str, Reals], Any], BinStep] | None = None


ENCODERS = {
    MAMBA2: Encoder("realm.nn.encoder:MAMBA2", StudentSizes),
    "gru": Encoder("realm.nn.recurrent:GRU"),
    "lstm": Encoder("realm.nn.recurrent:LSTM"),
    "published": Encoder("realm.nn.published.encoder:PUBLISHED", PublishedSizes, PublishedStep),
    "transformer": Encoder("realm.nn.transformer:TRANSFORMER"),
}


def find_encoder(kind: str) -> Encoder:
    """The encoder of this kind.

    Raises:
        ValueError: there is none, or it cannot be loaded; the message names it.
    """
    if kind in ENCODERS:
        return ENCODERS[kind]
    known = extensions.names(GROUP, ENCODERS)
    if kind not in known:
        raise ValueError(
            f"encoder: expected a kind of {', '.join(known)}; got {kind!r}. Correct it, or install "
            "the package that adds it"
        )
    found = extensions.load(GROUP, kind)
    if not isinstance(found, Encoder) or (found.sizes and found.sizes.kind != kind):
        raise ValueError(
            f"encoder {kind!r}: expected a realm.streaming.encoders.Encoder whose sizes are of "
            f"this kind, got {found!r}; correct the entry point of that package"
        )
    return found


def sizes_of(kind: str) -> type[Sizes]:
    """The sizes of an encoder that runs on a rig.

    Raises:
        ValueError: there is none of this kind, or it only trains.
    """
    sizes = find_encoder(kind).sizes
    if sizes is None:
        raise ValueError(
            f"encoder {kind!r}: expected one that runs on a rig, but it has no step for it; bundle "
            f"a student with the encoder {MAMBA2!r}, or decode with realm decode"
        )
    return sizes
