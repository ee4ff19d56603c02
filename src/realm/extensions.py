"""What other packages add: features, formats, encoders, losses, methods, sources, sinks, checks.

A package adds one by an entry point in its `pyproject.toml`; the name is what a recipe or a command
line then says:

    [project.entry-points."realm.sinks"]
    robot = "my_package.robot:SINK"

What the entry point names is an entry of the registry of that kind, as the registry's own module
describes it. A name of this package cannot be taken by another one. Nothing is imported before it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

GROUPS = (
    "features",
    "formats",
    "encoders",
    "losses",
    "methods",
    "sources",
    "sinks",
    "checks",
    "datasets",
)


@cache
def found(group: str) -> dict[str, EntryPoint]:
    """The entry points of one kind by name, not loaded.

    Raises:
        ValueError: two installed packages use one name.
    """
    assert group in GROUPS, group
    named: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"realm.{group}"):
        other = named.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ValueError(
                f"realm.{group}: expected each name once, got {entry.name!r} from {_origin(other)} "
                f"and from {_origin(entry)}; remove one of the two packages"
            )
    return named


def names(group: str, own: Iterable[str]) -> tuple[str, ...]:
    """All names of one kind: those of this package, then those that others add."""
    own = tuple(own)
    return own + tuple(name for name in sorted(found(group)) if name not in own)


def load(group: str, name: str) -> Any:
    """What another package adds under this name.

    Raises:
        KeyError: no package adds it.
        ValueError: it cannot be imported; the message names the package.
    """
    entry = found(group)[name]
    try:
        return entry.load()
    except Exception as error:
        raise ValueError(
            f"{name}: expected {entry.value} of {_origin(entry)} to be importable, got "
            f"{type(error).__name__}: {error}; repair or remove that package"
        ) from error


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
