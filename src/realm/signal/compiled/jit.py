"""How loops are compiled: as IEEE 754 says, without the interpreter's lock, ahead of first use.

A signature is given to every loop, so that it is compiled, or read from the cache, when its module
is imported and never while a stream runs. Arrays are C-contiguous and writable; see `behaved`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from realm.compiling import compiled

Loop = Callable[..., None]


def loop(signature: str | list[str]) -> Callable[[Loop], Loop]:
    """Compile a loop for arguments of these types, or of each of these."""
    return compiled(*([signature] if isinstance(signature, str) else signature))


def behaved(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is C-contiguous, aligned and writable, else a copy that is."""
    return array if array.flags.carray else array.copy()
