"""A chain as JSON-able values and arrays, and back, and the coefficients of its filters.

A chain designs its filters from its settings, which takes scipy and time, and another version of
scipy may round a coefficient differently. So what is deployed carries its coefficients with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.signal.config import SignalConfig
from realm.signal.features import Bands
from realm.signal.filters import Filtered, LineNotch
from realm.signal.guard import GuardLimits
from realm.signal.normalize import NormalizationStatistics
from realm.signal.stage import Feature, Floats, Stage

FORMAT = 1
UNDECIMATED = {"decimate_to_hz": 0.0}  # chains from before there was a choice
KEYS = ("format", "config", "sampling_rate_hz", "channel_names", "bad_channels", "dead")
GUARD = ("guard_centre", "guard_scale")
NORMALIZATION = ("normalization_mean", "normalization_std", "normalization_n_bins")


class Stored(NamedTuple):
    """The parts a chain is made of."""

    config: SignalConfig
    sampling_rate_hz: float
    channel_names: tuple[str, ...]
    bad_channels: tuple[bool, ...]
    limits: GuardLimits
    normalization: NormalizationStatistics | None


def save(
    config: SignalConfig,
    sampling_rate_hz: float,
    channel_names: tuple[str, ...],
    bad_channels: tuple[bool, ...],
    limits: GuardLimits,
    normalization: NormalizationStatistics | None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Split a chain into values for JSON and arrays; floats keep every bit in both."""
    values = {
        "format": FORMAT,
        "config": config.to_dict(),
        "sampling_rate_hz": sampling_rate_hz,
        "channel_names": list(channel_names),
        "bad_channels": list(bad_channels),
        "dead": {channel_names[channel]: reason for channel, reason in limits.dead.items()},
    }
    arrays: dict[str, NDArray[Any]] = {}
    if limits.fitted:
        arrays.update(zip(GUARD, (limits.centre.copy(), limits.scale.copy()), strict=True))
    if normalization is not None:
        arrays.update(zip(NORMALIZATION, (a.copy() for a in normalization), strict=True))
    return values, arrays


def load(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Stored:
    """Put the parts together again.

    Raises:
        ValueError: a part is missing, unknown, of another format or of the wrong shape.
    """
    _check_keys(values, arrays)
    names = tuple(str(name) for name in values["channel_names"])
    dead = {_index(names, name): str(reason) for name, reason in values["dead"].items()}
    limits = GuardLimits.unfitted(len(names))
    if GUARD[0] in arrays:
        centre, scale = (_column(arrays, name, len(names)) for name in GUARD)
        limits = GuardLimits(centre, scale, dead)
    normalization = None
    if NORMALIZATION[0] in arrays:
        parts = (np.array(arrays[name], dtype=np.float64) for name in NORMALIZATION)
        normalization = NormalizationStatistics(*parts)
    return Stored(
        SignalConfig.from_dict(UNDECIMATED | values["config"]),
        float(values["sampling_rate_hz"]),
        names,
        tuple(bool(flag) for flag in values["bad_channels"]),
        limits,
        normalization,
    )


def coefficients(stages: Sequence[Stage]) -> dict[str, Floats]:
    """The arrays of every filter and feature of a chain's stages, by name."""
    return {
        prefix + name: array
        for prefix, part in _parts(stages)
        for name, array in part.arrays().items()
    }


def use_coefficients(stages: Sequence[Stage], stored: Mapping[str, NDArray[Any]]) -> None:
    """Let these stages run with these arrays, to the bit.

    Coefficients of filters are held against the filters' definition. Of a feature of another
    package names and shapes are checked here; what the numbers mean, its own `use` checks.

    Raises:
        ValueError: they are not the arrays of these stages.
    """
    parts = list(_parts(stages))
    names = {prefix + name for prefix, part in parts for name in part.array_names()}
    if names != set(stored):
        raise ValueError(
            f"filters: expected coefficients of {', '.join(sorted(names))}, got those of "
            f"{', '.join(sorted(stored)) or 'none'}; the file is damaged, make it again"
        )
    for prefix, part in parts:
        given = {name: np.array(stored[prefix + name]) for name in part.array_names()}
        try:
            if not isinstance(part, Filtered):
                _check_shapes(given, part.arrays())
            part.use(given)
        except Exception as error:
            raise ValueError(
                f"filters: {prefix.rstrip('.') or type(part).__name__}: {error}; the file is "
                "damaged, make it again"
            ) from error


def _parts(stages: Sequence[Stage]) -> Iterator[tuple[str, LineNotch | Feature]]:
    for stage in stages:
        if isinstance(stage, LineNotch):
            yield "", stage
        elif isinstance(stage, Bands):
            yield from ((f"{part.name}.", part) for part in stage.parts)


def _check_shapes(given: Mapping[str, Floats], own: Mapping[str, Floats]) -> None:
    for name, array in own.items():
        if given[name].shape != array.shape:
            raise ValueError(f"expected {name!r} of shape {array.shape}, got {given[name].shape}")


def _check_keys(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    if values.get("format") != FORMAT:
        raise ValueError(
            f"signal chain: expected format {FORMAT}, got {values.get('format')!r}; "
            "it was saved by another version or is foreign, prepare the session again"
        )
    wrong = sorted(set(KEYS) ^ set(values))
    for group in (GUARD, NORMALIZATION):
        missing = [name for name in group if name not in arrays]
        wrong += missing if len(missing) < len(group) else []
    wrong += sorted(set(arrays) - {*GUARD, *NORMALIZATION})
    if wrong:
        raise ValueError(
            f"signal chain: expected {', '.join(KEYS)} with their arrays, but "
            f"{', '.join(wrong)} is missing or unknown; the file is damaged, prepare it again"
        )


def _index(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(
            f"signal chain: the dead channel {name!r} is not among its channels; "
            "the file is damaged, prepare the session again"
        )
    return names.index(name)


def _column(arrays: Mapping[str, NDArray[Any]], name: str, length: int) -> NDArray[np.float64]:
    column = np.array(arrays[name], dtype=np.float64)
    if column.shape != (length,) or not np.isfinite(column).all():
        raise ValueError(
            f"signal chain: expected {length} finite numbers in {name!r}, got shape "
            f"{column.shape}; the file is damaged, prepare the session again"
        )
    return column
