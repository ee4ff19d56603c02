"""What is said about a public dataset, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from realm.data.behavior import Target
from realm.recordings.write import SessionContent

ECOG_HZ = {"beta": (12.0, 30.0), "low_gamma": (30.0, 60.0), "high_gamma": (70.0, 170.0)}
Ask = Callable[[str], Any]  # an address of an archive's interface to its JSON answer


class RemoteFile(NamedTuple):
    """One file of a dataset in its archive.

    Attributes:
        name: under which it is stored, relative to the folder of the data.
        url: where it lies.
        sessions: whose data it holds; none = of all sessions.
        size: bytes, None where unknown.
        checksum: "md5:..." or "sha256:...", None where unknown.
    """

    name: str
    url: str
    sessions: tuple[str, ...] = ()
    size: int | None = None
    checksum: str | None = None


class RawSession(NamedTuple):
    """One session as its authors published it.

    Attributes:
        session_id: safe as a file name.
        files: that hold it.
        open: opens them and says what is in them.
    """

    session_id: str
    files: tuple[Path, ...]
    open: Callable[[], AbstractContextManager[SessionContent]]


@dataclass(frozen=True)
class RecipeSettings:
    """What a recipe for the dataset begins with.

    Attributes:
        behavior: path of the series that is decoded.
        target, smoothing_s: what of it.
        bin_ms, window_s, slow_hz, bands_hz: as in a recipe.
        signal: further lines of the part [signal].
    """

    behavior: str
    target: Target = "as_stored"
    smoothing_s: float = 0.0
    bin_ms: float = 10.0
    window_s: float = 2.0
    slow_hz: tuple[float, float] = (0.3, 45.0)
    bands_hz: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(ECOG_HZ))
    signal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A public dataset.

    Attributes:
        name: on the command line.
        title: one line.
        behavior: what can be decoded, with its unit and rate.
        signal: what was recorded, with its rate.
        licence, terms: short name; what the user has to agree to.
        citation: to be named in publications.
        homepage: where it is described.
        size: bytes of all that is fetched, None where unknown.
        find: the sessions in a folder of its files.
        recipe: settings to begin with.
        caveats: what a user must know of the prepared sessions.
        remote: the files that can be fetched, asking the archive if need be; None where a person
            has to fetch them.
        by_hand: how a person fetches them.
    """

    name: str
    title: str
    signal: str
    behavior: str
    licence: str
    terms: str
    citation: tuple[str, ...]
    homepage: str
    find: Callable[[Path], Sequence[RawSession]]
    recipe: RecipeSettings
    caveats: tuple[str, ...] = ()
    size: int | None = None
    remote: Callable[[Ask], Sequence[RemoteFile]] | None = None
    by_hand: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `realm dataset list --json` says of it."""
        return {
            "name": self.name,
            "title": self.title,
            "signal": self.signal,
            "behavior": self.behavior,
            "licence": self.licence,
            "terms": self.terms,
            "citation": list(self.citation),
            "homepage": self.homepage,
            "bytes": self.size,
            "fetched": self.remote is not None,
            "by_hand": self.by_hand,
            "caveats": list(self.caveats),
        }


def matching(names: Sequence[str], only: Sequence[str], dataset: str) -> list[str]:
    """The `names` that `only` asks for, all if it is empty.

    Raises:
        ValueError: something was asked for that is not there.
    """
    missing = sorted(set(only) - set(names))
    if missing:
        listed = ", ".join(names[:40]) or "none"
        raise ValueError(
            f"{dataset}: expected --only to name sessions that are there ({listed}), got "
            f"{', '.join(missing)}; correct it"
        )
    return [name for name in names if not only or name in only]
