"""What a part of the benchmark is, and what all parts share.

A part trains or measures one thing in folders of its own and returns rows. To add one, write a
file with the two functions of `Part` and name it in `realm.benchmark.parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from realm.benchmark.order import sessions_by_subject
from realm.benchmark.rows import BenchmarkRow
from realm.data.sessions import PreparedSession, PreparedSet
from realm.files import sha256_json
from realm.progress import Progress
from realm.recipe import LabelsConfig, Recipe
from realm.stages import fingerprint

# What rows depend on; the name of a recipe is only a name.
RECIPE_PARTS = ("seeds", "signal", "data", "pretrain", "distill", "calibrate", "baselines")


@dataclass(frozen=True)
class Benchmark:
    """Recordings, their prepared files and how to work on them.

    Attributes:
        recipe: as `plain` leaves it.
        recordings, prepared: files, in the same order.
        out: folder of the benchmark; a part works in folders of its own below it.
        jobs: seeds side by side.
    """

    recipe: Recipe
    recordings: tuple[Path, ...]
    prepared: tuple[Path, ...]
    out: Path
    jobs: int
    progress: Progress

    @cached_property
    def sessions(self) -> list[PreparedSession]:
        """The prepared sessions, by session id."""
        return PreparedSet([PreparedSession.load(path) for path in self.prepared]).sessions

    @cached_property
    def by_subject(self) -> dict[str, list[str]]:
        """Session ids of every subject, in the order of their recording."""
        return sessions_by_subject(self.recordings)

    def prepared_of(self, session_ids: Sequence[str]) -> list[Path]:
        """Prepared files of these sessions."""
        return [session.path for session in self.sessions if session.session_id in session_ids]

    def fingerprint(self) -> str:
        """What the rows of all parts depend on."""
        data = sha256_json([fingerprint(session) for session in self.sessions])
        return self.recipe.fingerprint(*RECIPE_PARTS, "benchmark", data_hash=data)


class Part(NamedTuple):
    """One part of the benchmark.

    `impossible` says in one sentence why these recordings do not allow it, None if they do. `run`
    does the work, or finds it done, and returns the part's rows. `needs` are parts to do before.
    `about` tells the reader of the report what was done.
    """

    about: str
    impossible: Callable[[Benchmark], str | None]
    run: Callable[[Benchmark], list[BenchmarkRow]]
    needs: tuple[str, ...] = ()


def plain(recipe: Recipe) -> Recipe:
    """The recipe with all labels and no lookahead: these have parts of their own."""
    return with_lookahead(recipe.model_copy(update={"labels": LabelsConfig()}), 0.0)


def with_lookahead(recipe: Recipe, lookahead_ms: float) -> Recipe:
    """The recipe whose student waits this long."""
    distill = recipe.distill.model_copy(update={"lookahead_ms": lookahead_ms})
    return recipe.model_copy(update={"distill": distill})


def with_methods(recipe: Recipe, methods: Sequence[str]) -> Recipe:
    """The recipe with these methods beside the student."""
    baselines = recipe.baselines.model_copy(update={"methods": list(methods)})
    return recipe.model_copy(update={"baselines": baselines})


def always_possible(benchmark: Benchmark) -> None:
    """Any recordings will do."""
