"""A stream's state as bytes: saved, restored, and continued to the same bit.

The bytes are a line that names the format, a SHA-256 of all that follows, the SHA-256 of the bundle
and a safetensors block of the state's arrays in their order. A state belongs to one bundle and one
precision and is refused by any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

HEAD = b"realm-state 1\n"
DIGEST = 32  # bytes of a SHA-256
LARGEST = 512 << 20
MOST = 1 << 53  # samples, bins: whole numbers that a float64 can count
FARTHEST = 1e30  # of any real number of a state; what a signal makes is far smaller
T = TypeVar("T")


def to_bytes(state: Any, bundle_sha256: str) -> bytes:
    """A state (arrays and whole numbers in nested tuples) of the bundle with this hash."""
    arrays = {
        f"{index:06d}": np.array(leaf, order="C") for index, leaf in enumerate(_leaves(state))
    }
    body = bytes.fromhex(bundle_sha256) + save(arrays)
    return HEAD + hashlib.sha256(body).digest() + body


def from_bytes(
    content: bytes, template: T, bundle_sha256: str, advice: str = "start from initial_state"
) -> T:
    """The state that `to_bytes` wrote.

    `template` is the initial state of the same decoder: every array must have its shape and dtype,
    and must be finite where that of the template is. `advice` ends every message.

    Raises:
        ValueError: damaged, foreign, of another bundle or precision.
    """
    head, body = content[: len(HEAD)], content[len(HEAD) + DIGEST :]
    if head != HEAD or len(content) > LARGEST:
        raise ValueError(
            f"state: expected the state of a stream (format {HEAD.decode().strip()!r}), got "
            f"{len(content)} bytes of something else; {advice}"
        )
    if hashlib.sha256(body).digest() != content[len(HEAD) : len(HEAD) + DIGEST]:
        raise ValueError(
            "state: expected bytes that agree with their SHA-256, these do not; they are damaged "
            f"or cut short, {advice}"
        )
    if body[:DIGEST] != bytes.fromhex(bundle_sha256):
        raise ValueError(
            f"state: expected a state of the bundle {bundle_sha256[:12]}…, got one of "
            f"{body[:DIGEST].hex()[:12]}…; load that bundle, or {advice}"
        )
    try:
        arrays = load(body[DIGEST:])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"state: expected a safetensors block, but it cannot be read ({error}); {advice}"
        ) from error
    restored: T = _rebuilt(template, iter(_checked(arrays, list(_leaves(template)), advice)))
    return restored


def check_range(state: Any, least: int, advice: str) -> None:
    """Check that whole numbers are from `least` to `MOST`, and real ones moderate or unknown (NaN).

    Raises:
        ValueError: one is not; the message ends with `advice`.
    """
    for leaf in map(np.asarray, _leaves(state)):
        whole = leaf.dtype.kind in "iu"
        low, high = (least, MOST) if whole else (-FARTHEST, FARTHEST)
        if leaf.size and leaf.dtype.kind in "iuf" and ((leaf < low) | (leaf > high)).any():
            raise ValueError(
                f"state: expected numbers from {low:g} to {high:g}, got others; {advice}"
            )


def _checked(
    arrays: dict[str, NDArray[Any]], templates: list[Any], advice: str
) -> list[NDArray[Any]]:
    names = [f"{index:06d}" for index in range(len(templates))]
    fits = sorted(arrays) == names
    for name, template in zip(names, map(np.array, templates), strict=True):
        array = arrays.get(name)
        fits = fits and array is not None and array.dtype == template.dtype
        fits = fits and array is not None and array.shape == template.shape
        if not fits:
            raise ValueError(
                "state: expected the arrays of this decoder's state, got others; it was saved in "
                f"another precision or by another version, {advice}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array[np.isfinite(template)]).all():  # type: ignore[union-attr, index]
            raise ValueError(f"state: expected finite numbers, got NaN or infinity; {advice}")
    return [arrays[name] for name in names]


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple):
        for part in tree:
            yield from _leaves(part)
    else:
        yield tree


def _rebuilt(template: Any, arrays: Iterator[NDArray[Any]]) -> Any:
    if isinstance(template, tuple):
        parts = [_rebuilt(part, arrays) for part in template]
        return type(template)(*parts) if hasattr(template, "_fields") else tuple(parts)
    array = next(arrays)
    return array.copy() if isinstance(template, np.ndarray) else type(template)(array.item())
