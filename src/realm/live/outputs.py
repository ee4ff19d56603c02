"""The rows that sinks get, and the one table of their columns.

A field of `Outputs` with one value per bin carries its `Column`. CSV, Parquet, ZeroMQ and LSL are
written from these alone. To add a column, add such a field with the name that it has in
`realm.streaming.Quality`: its values are taken from there, and every log and sink shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from realm.live.clock import Ended
from realm.streaming import Decoded
from realm.streaming.quality import Quality

TRUE = "true_"  # before the name of a behavior: its true value
AFTER_ALL = 100

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Column(NamedTuple):
    """What a column of the output holds."""

    dtype: type  # int, float or bool
    unit: str  # as LSL names it
    holds: str
    text: str = ""  # format of the number in CSV; empty: nine digits, nothing for NaN
    alone: float = 0  # value in a row that is given without samples
    lsl: int | None = AFTER_ALL  # place among the channels of LSL after the behavior; None: none


class OutputInfo(NamedTuple):
    """What will be written."""

    session_id: str
    behavior_names: tuple[str, ...]
    behavior_unit: str
    channel_names: tuple[str, ...]
    bin_ms: float
    lookahead_ms: float
    bundle_sha256: str


class Outputs(NamedTuple):
    """Decoded bins, one row each; `behavior` is always finite.

    Times are seconds on the clock of `now_s`. Rows that are `held` or `neutral` were not decoded.
    """

    bin: Annotated[Ints, Column(int, "count", "number of the bin since the stream began", lsl=0)]
    time_s: Annotated[
        Reals,
        Column(float, "seconds", "when the last sample of the bin was taken", ".6f", lsl=None),
    ]
    behavior: NDArray[Any]  # (bins, dims)
    latency_ms: Annotated[
        Reals,
        Column(
            float, "milliseconds", "from the last sample waited for to this output", ".4f", lsl=4
        ),
    ]
    filled_share: Annotated[
        Reals,
        Column(float, "share", "replaced samples of all usable channels", ".4f", 1, lsl=None),
    ]
    bad_channels: Annotated[
        Ints, Column(int, "count", "channels of which most samples were replaced", lsl=3)
    ]
    clipped_channels: Annotated[
        Ints, Column(int, "count", "channels with a feature at the clip", lsl=None)
    ]
    gap: Annotated[Flags, Column(bool, "bool", "no usable channel has a sample", "", 1, lsl=None)]
    neutral: Annotated[Flags, Column(bool, "bool", "the behavior is the neutral value", lsl=1)]
    held: Annotated[
        Flags, Column(bool, "bool", "the behavior before is repeated: samples are late", lsl=2)
    ]
    filled: Reals  # (bins, channels) share of samples that were replaced
    restarted: Flags | None = None  # (bins,) the numbers overflowed and the decoder started anew
    truth: NDArray[Any] | None = None  # (bins, dims) true behavior, NaN = unknown (replay)


def columns(info: OutputInfo, truth: bool = True) -> list[tuple[str, Column]]:
    """Name and column of each value of a row, in the order of `values`."""
    return list(_columns(Outputs, info.behavior_names, info.behavior_unit, truth))


def values(outputs: Outputs) -> list[NDArray[Any]]:
    """The values (bins,) of each column of `columns`; true behavior that is not known is NaN."""
    found: list[NDArray[Any]] = []
    for name, column in _fields(Outputs).items():
        if column is not None:
            found.append(getattr(outputs, name))
        elif name == "behavior":
            found.extend(np.asarray(outputs.behavior, np.float64).T)
        elif name == "truth":
            known = outputs.truth
            if known is None:
                known = np.full(outputs.behavior.shape, np.nan)
            found.extend(np.asarray(known, np.float64).T)
    return found


def matrix(outputs: Outputs) -> NDArray[np.float64]:
    """The values (bins, columns) without true behavior, flags as 0 or 1, little-endian."""
    before, after = _split(Outputs)
    first, dims = len(before), outputs.behavior.shape[1]
    found = np.empty((len(outputs.bin), first + dims + len(after)), "<f8")
    for at, name in enumerate(before):
        found[:, at] = getattr(outputs, name)
    found[:, first : first + dims] = outputs.behavior
    for at, name in enumerate(after, first + dims):
        found[:, at] = getattr(outputs, name)
    return found


def log_columns(info: OutputInfo) -> list[tuple[str, Column]]:
    """The columns of a log.

    Raises:
        ValueError: a dim of behavior has the name of another column.
    """
    found = columns(info)
    names = [name for name, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"log: expected behavior with other names than the columns, got {', '.join(twice)} "
            "twice; rename it in the recording and bundle again"
        )
    return found


def is_behavior(name: str) -> bool:
    """Whether a column of a log holds behavior, decoded or true."""
    return name not in _fields(Outputs)


def lsl_columns() -> dict[str, Column]:
    """The columns that LSL sends after the behavior, in their order."""
    sent = {n: c for n, c in _fields(Outputs).items() if c is not None and c.lsl is not None}
    return dict(sorted(sent.items(), key=lambda item: item[1].lsl or 0))


def decoded_rows(decoded: Decoded, ended: Ended, given_s: float | None, worked_s: float) -> Outputs:
    """Rows of decoded bins.

    Args:
        decoded, ended: the outputs and the bins they belong to.
        given_s: the time now. The latency is counted from the last sample waited for until then.
            None for a source whose time stamps are not of the present.
        worked_s: the time since the samples arrived; the latency is never less than this, whatever
            their time stamps say.
    """
    quality, n = decoded.quality, len(ended.bin)
    if given_s is None:
        latency_s = np.full(n, worked_s)
    else:
        latency_s = np.maximum(given_s - ended.waited_s, worked_s)
    names, judged = _judged(Outputs)
    rows = dict(zip(names, judged(quality), strict=True))
    rows["neutral"] = quality.neutral.copy()
    return Outputs(
        bin=ended.bin,
        time_s=ended.time_s,
        behavior=decoded.behavior,
        latency_ms=1000 * latency_s,
        held=np.zeros(n, bool),
        truth=None if np.isnan(ended.truth).all() else ended.truth,
        **rows,
    )


def own_rows(
    first_bin: int,
    n: int,
    first_s: float,
    bin_s: float,
    behavior: NDArray[np.float64],
    held: bool,
    channels: int,
) -> Outputs:
    """Rows without samples: every channel is missing, the behavior is held or neutral."""
    table = _fields(Outputs).items()
    rows: dict[str, Any] = {
        name: np.full(n, column.alone, column.dtype) for name, column in table if column is not None
    }
    rows |= {
        "bin": first_bin + np.arange(n, dtype=np.int64),
        "time_s": first_s + bin_s * np.arange(float(n)),
        "behavior": np.tile(behavior, (n, 1)),
        "bad_channels": np.full(n, channels, dtype=np.int64),
        "neutral": np.full(n, not held),
        "held": np.full(n, held),
        "restarted": np.zeros(n, bool),
        "filled": np.ones((n, channels)),
    }
    return Outputs(**rows)


def from_row(rows: Outputs, first: int) -> Outputs:
    """The rows from this one on."""
    return type(rows)._make(None if part is None else part[first:] for part in rows)


@cache
def _fields(kind: Any) -> dict[str, Column | None]:
    """The fields of a row in their order, with the column of each that has one."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: next((each for each in getattr(hint, "__metadata__", ())), None)
        for name, hint in hints.items()
    }


@cache
def _split(kind: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields with a column before the behavior, and those after it."""
    names = list(_fields(kind))
    at = names.index("behavior")
    before, after = names[:at], [name for name in names[at:] if _fields(kind)[name] is not None]
    return tuple(before), tuple(after)


@cache
def _columns(
    kind: Any, dims: tuple[str, ...], unit: str, truth: bool
) -> tuple[tuple[str, Column], ...]:
    found: list[tuple[str, Column]] = []
    for name, column in _fields(kind).items():
        if column is not None:
            found.append((name, column))
        elif name == "behavior":
            found += [(dim, Column(float, unit, "decoded behavior")) for dim in dims]
        elif name == "truth" and truth:
            true = Column(float, unit, "true behavior, missing where unknown")
            found += [(TRUE + dim, true) for dim in dims]
    return tuple(found)


@cache
def _judged(kind: Any) -> tuple[tuple[str, ...], Callable[[Quality], tuple[Any, ...]]]:
    """The fields that are those of the quality of a bin, and what takes them from it.

    Its `bin` counts from the last start of the decoder; that of a row counts in the whole stream.
    """
    names = tuple(name for name in kind._fields if name in Quality._fields and name != "bin")
    return names, attrgetter(*names)
