"""A finished run as its report reads it: rows, record, prepared sessions and the saved decoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from realm.data.sessions import PreparedSession
from realm.evaluation.results import ResultRow, read_results
from realm.files import read_json, sha256_file
from realm.recipe import Recipe, parse_recipe

BENCHMARK = "benchmark.json"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, or of a benchmark, whose main run is then meant.

    Attributes:
        path: the folder that was named.
        run: the run's own folder: `path`, or `path/main` of a benchmark.
        rows: of results.csv.
        record: of run.json; empty where there is none.
        benchmark: of benchmark.json; empty where this is a plain run.
    """

    path: Path
    run: Path
    rows: list[ResultRow]
    record: dict[str, Any]
    benchmark: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Read the folder.

        Raises:
            ValueError: there is no finished run in it; the message names what is missing.
        """
        path = Path(path)
        benchmark = read_json(path / BENCHMARK) if (path / BENCHMARK).is_file() else {}
        run = path / "main" if benchmark else path
        if not (run / "results.csv").is_file():
            raise ValueError(
                f"{run / 'results.csv'}: expected the results of a finished run, found none; name "
                "the folder of a run or benchmark, or finish it with `realm run`"
            )
        record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
        return cls(path, run, read_results(run / "results.csv"), record, benchmark)

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's."""
        recipe = self.record.get("recipe") or {}
        return str(recipe.get("name") or self.path.resolve().name)

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe it was made with, None if the record does not hold one that can be read."""
        try:
            return parse_recipe(self.record["recipe"], str(self.run / "run.json"))
        except (KeyError, ValueError):
            return None

    @property
    def seed(self) -> int:
        """The seed whose decoder and decodings are looked at: the first."""
        return min(row.seed for row in self.rows)

    @property
    def seed_folder(self) -> Path:
        """Where that seed keeps its files."""
        return self.run / f"seed{self.seed}"

    @cached_property
    def sessions(self) -> list[PreparedSession]:
        """The prepared sessions of the run, in the order of its record; empty if not all are there.

        They lie in the run, or beside it where several runs share them; a file that is not the
        one the run was made with does not count.
        """
        wanted = self.record.get("data") or {}
        for folder in (self.run, self.run.parent, self.run.parent.parent):
            paths = {name: folder / "prepared" / f"{name}.h5" for name in wanted}
            if paths and all(
                path.is_file() and sha256_file(path) == wanted[name].get("prepared_sha256")
                for name, path in paths.items()
            ):
                return [PreparedSession.load(path) for path in paths.values()]
        return []

    @property
    def needs_sessions(self) -> str:
        """The sentence for a section that needs prepared sessions which are not there."""
        return (
            "Left out: the prepared sessions of this run are not in its folder `prepared`, or they "
            "have changed since. Run `realm run` with the same recipe, data and folder, then "
            f"`realm report {self.path}`."
        )
