"""The trained decoder: its folder, new sessions, and what leaves for the rig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realm.decoder.decoder import Decoder as Decoder

__all__ = ["Decoder"]


def __getattr__(name: str) -> Any:
    """Load `Decoder` on first use, so that a bundle can be read without torch."""
    if name == "Decoder":
        from realm.decoder.decoder import Decoder

        return Decoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
