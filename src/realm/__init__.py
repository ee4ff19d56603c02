"""REALM: causal decoding of behavior from local field potentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realm import moved
from realm.versions import own_version

if TYPE_CHECKING:
    from realm.decoder.decoder import Decoder as Decoder

__version__ = own_version()
__all__ = ["Decoder", "__version__"]

moved.install()


def __getattr__(name: str) -> Any:
    """Load `realm.Decoder` on first use, so that the signal chain alone needs no torch."""
    if name == "Decoder":
        from realm.decoder.decoder import Decoder

        return Decoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
