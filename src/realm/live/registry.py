"""Sources and sinks by name, and how they are made from what the command line says.

The text of an option is:

    --source NAME[:WHERE][?option=value&...]        --sink NAME[:WHERE][?option=value&...]

For example, `replay:FILE?speed=2` becomes `ReplaySource(path=Path("FILE"), speed=2.0)`. The class
is called with keyword arguments alone; what is not given keeps its default. Its constructor stores
its arguments and connects to nothing: `open` does that.

Another package adds a source or sink with a `Kind` and an entry point in its `pyproject.toml`:

    [project.entry-points."realm.sinks"]
    robot = "my_package:ROBOT"

    ROBOT = Kind(RobotSink, "address")              # in my_package: --sink robot:ADDRESS

`realm.live.sources.Source` and `realm.live.sinks.Sink` say what such a class has.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from realm import extensions
from realm.live.sinks import Sink
from realm.live.sources import Source

Reader = Callable[[str], Any]


class Kind(NamedTuple):
    """How one kind of source or sink is made."""

    made_by: Callable[..., Any] | str  # the class, or "module:Class" to import it when it is used
    where: str  # its keyword for the text after the colon
    read: Reader = str  # makes the value from that text; ValueError("a number above zero") if wrong
    needed: bool = True  # whether there must be such a text
    example: str = ""  # for messages
    options: Mapping[str, Reader] = {}  # other keywords, and how their text is read


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
        "realm.live.sources.replay:ReplaySource",
        "path",
        Path,
        example="replay:day7.safetensors?speed=max",
        options={"speed": read_speed, "block_ms": float},
    ),
    "lsl": Kind(
        "realm.live.sources.lsl:LSLSource",
        "name",
        example="lsl:Amplifier",
        options={"type": str, "source_id": str, "unit": str, "channel_names": read_names},
    ),
    "zmq": Kind("realm.live.sources.zmq:ZMQSource", "address", example="zmq:tcp://127.0.0.1:5555"),
    "open-ephys": Kind(
        "realm.live.sources.open_ephys:OpenEphysSource",
        "address",
        example="open-ephys:tcp://127.0.0.1:5556",
        options={"unit": str},
    ),
    "intan": Kind(
        "realm.live.sources.intan:IntanSource",
        "address",
        example="intan:127.0.0.1:5001?rate_hz=30000&channel_names=A-000,A-001",
        options={"rate_hz": float, "channel_names": read_names},
    ),
}
SINKS = {
    "csv": Kind(
        "realm.live.sinks.csv:CSVLog",
        "path",
        Path,
        example="csv:decoded.csv",
        options={"append": read_yes},
    ),
    "parquet": Kind(
        "realm.live.sinks.parquet:ParquetLog",
        "path",
        Path,
        example="parquet:decoded.parquet",
        options={"append": read_yes},
    ),
    "lsl": Kind("realm.live.sinks.lsl:LSLSink", "name", needed=False, example="lsl:Decoded"),
    "zmq": Kind(
        "realm.live.sinks.zmq:ZMQSink",
        "address",
        needed=False,
        example="zmq:tcp://127.0.0.1:5556",
        options={"anywhere": read_yes},
    ),
    "dashboard": Kind(
        "realm.live.dashboard:DashboardSink",
        "port",
        int,
        needed=False,
        example="dashboard:8765",
    ),
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


def _made(what: str, text: str, own: Mapping[str, Kind]) -> Any:
    name, _, rest = text.partition(":")
    head, question, tail = rest.rpartition("?")
    where, options = (head, tail) if question else (rest, "")
    kind = _kind(what, text, name, own)
    if kind.needed and not where:
        example = f", as in {kind.example}" if kind.example else ""
        raise ValueError(
            f"--{what} {text}: expected a {kind.where} after the colon{example}, got none; add it"
        )
    arguments = {kind.where: _value(what, text, kind.where, kind.read, where)} if where else {}
    arguments |= _options(what, text, kind, options)
    try:
        return _class(kind)(**arguments)
    except (ImportError, RuntimeError) as error:  # absent, or without its C library
        if (getattr(error, "name", None) or "").startswith("realm"):
            raise
        install = "pip install 'realm-lfp[live]'" if name in own else "install it"
        raise ValueError(
            f"--{what} {text}: expected a library that cannot be loaded ({error}); {install}"
        ) from error


def _kind(what: str, text: str, name: str, own: Mapping[str, Kind]) -> Kind:
    """Our kind of this name, or that of another package."""
    if name in own:
        return own[name]
    group = f"{what}s"
    known = extensions.names(group, own)
    if name not in known:
        examples = ", ".join(each.example for each in own.values())
        raise ValueError(
            f"--{what} {text}: expected one of {', '.join(known)} (such as {examples}), got "
            f"{name!r}; correct it"
        )
    kind = extensions.load(group, name)
    if not isinstance(kind, Kind):
        raise ValueError(
            f"--{what} {text}: expected the entry point {name} of realm.{group} to name a "
            f"realm.live.registry.Kind, got {type(kind).__name__}; correct that package"
        )
    return kind


def _class(kind: Kind) -> Callable[..., Any]:
    if not isinstance(kind.made_by, str):
        return kind.made_by
    module, _, name = kind.made_by.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


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
