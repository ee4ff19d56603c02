"""Sources and sinks from what is written on the command line.

    --source KIND[:WHERE][?option=value&...]        --sink KIND[:WHERE][?option=value&...]

| text | becomes |
| --- | --- |
| `replay:FILE?speed=2` | `replay.ReplaySource(path=Path("FILE"), speed=2.0)`; max is `math.inf` |
| `lsl:NAME?type=EEG&source_id=ID` | `lsl_source.LSLSource(name="NAME", type=..., source_id=...)` |
| `lsl:NAME?unit=uV&channel_names=a,b` | for a stream that does not say them |
| `zmq:tcp://127.0.0.1:5555` | `zmq_source.ZMQSource(address="tcp://127.0.0.1:5555")` |
| `csv:FILE` | `csv_log.CSVLog(path=Path("FILE"))` |
| `parquet:FILE` | `parquet_log.ParquetLog(path=Path("FILE"))` |
| `lsl:NAME`, `lsl` | `lsl_sink.LSLSink(name="NAME")`, `LSLSink()` |
| `zmq:ADDRESS`, `zmq` | `zmq_sink.ZMQSink(address="ADDRESS")`, `ZMQSink()` |
| `dashboard:PORT`, `dashboard` | `dashboard.DashboardSink(port=PORT)`, `DashboardSink()` |

The class is called with keyword arguments alone; what is not given is left to its defaults. The
constructor stores its arguments and connects to nothing: that is for `open`. A library of its own
is imported with its module or its constructor; a missing one is said here, with the extra that
brings it.

Attributes that the loop reads, where a source has them:
- `can_wait` (False): it loses nothing when it is not read, so that the loop lets it wait instead
  of dropping samples, and its time stamps have nothing to do with the present. A replay at maximum
  speed is such a source; one at real speed is not.
- `refused_messages` (0): messages that were not in its format and were passed over.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from realm.live.sink import Sink
from realm.live.source import Source

Reader = Callable[[str], Any]


class Kind(NamedTuple):
    """How one kind of source or sink is made."""

    module: str  # in realm.live
    name: str  # of the class
    where: str  # keyword of the text after the colon
    read: Reader  # that text to its value
    needed: bool  # whether there must be such a text
    example: str
    options: Mapping[str, Reader] = {}


def read_speed(text: str) -> float:
    """A speed: a multiple of real time, or max."""
    speed = math.inf if text == "max" else float(text)
    if not speed > 0:
        raise ValueError("a speed above zero, or max")
    return speed


def read_yes(text: str) -> bool:
    """Yes or no."""
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


def read_names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(","))


SOURCES = {
    "replay": Kind(
        "replay",
        "ReplaySource",
        "path",
        Path,
        True,
        "replay:day7.safetensors?speed=max",
        {"speed": read_speed, "block_ms": float},
    ),
    "lsl": Kind(
        "lsl_source",
        "LSLSource",
        "name",
        str,
        True,
        "lsl:Amplifier",
        {"type": str, "source_id": str, "unit": str, "channel_names": read_names},
    ),
    "zmq": Kind("zmq_source", "ZMQSource", "address", str, True, "zmq:tcp://127.0.0.1:5555"),
}
SINKS = {
    "csv": Kind("csv_log", "CSVLog", "path", Path, True, "csv:decoded.csv", {"append": read_yes}),
    "parquet": Kind(
        "parquet_log",
        "ParquetLog",
        "path",
        Path,
        True,
        "parquet:decoded.parquet",
        {"append": read_yes},
    ),
    "lsl": Kind("lsl_sink", "LSLSink", "name", str, False, "lsl:Decoded"),
    "zmq": Kind(
        "zmq_sink",
        "ZMQSink",
        "address",
        str,
        False,
        "zmq:tcp://127.0.0.1:5556",
        {"anywhere": read_yes},
    ),
    "dashboard": Kind("dashboard", "DashboardSink", "port", int, False, "dashboard:8765"),
}


def make_source(text: str) -> Source:
    """The source that this text asks for; it is not open yet.

    Raises:
        ValueError: the kind or an option is unknown, or its library is not installed.
    """
    return cast(Source, _made("source", text, SOURCES))


def make_sink(text: str) -> Sink:
    """The sink that this text asks for; it is not open yet.

    Raises:
        ValueError: the kind or an option is unknown, or its library is not installed.
    """
    return cast(Sink, _made("sink", text, SINKS))


def _made(what: str, text: str, kinds: Mapping[str, Kind]) -> Any:
    name, _, rest = text.partition(":")
    head, question, tail = rest.rpartition("?")
    where, options = (head, tail) if question else (rest, "")
    kind = kinds.get(name)
    if kind is None:
        examples = ", ".join(each.example for each in kinds.values())
        raise ValueError(
            f"--{what} {text}: expected one of {', '.join(kinds)} (such as {examples}), got "
            f"{name!r}; correct it"
        )
    if kind.needed and not where:
        raise ValueError(
            f"--{what} {text}: expected a {kind.where} after the colon, as in {kind.example}, got "
            "none; add it"
        )
    arguments = {kind.where: _value(what, text, kind.where, kind.read, where)} if where else {}
    arguments |= _options(what, text, kind, options)
    try:
        return getattr(importlib.import_module(f"realm.live.{kind.module}"), kind.name)(**arguments)
    except (ImportError, RuntimeError) as error:  # absent, or without its C library
        if (getattr(error, "name", None) or "").startswith("realm"):
            raise
        raise ValueError(
            f"--{what} {text}: expected a library that cannot be loaded ({error}); "
            "pip install 'realm-lfp[live]'"
        ) from error


def _options(what: str, text: str, kind: Kind, options: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for each in filter(None, options.split("&")):
        key, _, value = each.partition("=")
        if key not in kind.options:
            known = ", ".join(kind.options) or "no options"
            raise ValueError(f"--{what} {text}: expected {known}, got {key!r}; correct it")
        given[key] = _value(what, text, key, kind.options[key], value)
    return given


def _value(what: str, text: str, key: str, read: Reader, value: str) -> Any:
    try:
        return read(value)
    except ValueError as error:
        wanted = "a number" if read in (int, float) else str(error)
        raise ValueError(
            f"--{what} {text}: expected {key} as {wanted}, got {value!r}; correct it"
        ) from error
