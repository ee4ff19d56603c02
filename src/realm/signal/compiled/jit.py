"""How loops are compiled: as IEEE 754 says, without the interpreter's lock, ahead of first use.

A signature is given to every loop, so that it is compiled, or read from the cache, when its module
is imported and never while a stream runs. Arrays are C-contiguous and writable; see `behaved`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numpy.typing import NDArray

Loop = Callable[..., None]


def loop(signature: str | list[str]) -> Callable[[Loop], Loop]:
    """Compile a loop for arguments of these types, or of each of these."""
    decorator: Callable[[Loop], Loop] = numba.njit(
        signature, cache=True, error_model="numpy", nogil=True, fastmath=False
    )
    return decorator


def behaved(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is C-contiguous, aligned and writable, else a copy that is."""
    return array if array.flags.carray else array.copy()
