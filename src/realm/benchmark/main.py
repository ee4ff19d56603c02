"""The main run: every method, all labels, no lookahead."""

from __future__ import annotations

from realm.benchmark.part import Benchmark, Part, always_possible, with_methods
from realm.benchmark.rows import BenchmarkRow, of_part
from realm.methods.registry import BASELINES
from realm.runs.run import run_prepared

VARIANT = "all labels"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """An ordinary run folder with all baselines there are."""
    recipe = with_methods(benchmark.recipe, BASELINES)
    rows = run_prepared(
        recipe,
        benchmark.prepared,
        benchmark.out / "main",
        jobs=benchmark.jobs,
        progress=benchmark.progress,
    )
    return of_part("main", VARIANT, rows)


ABOUT = "every method, with all training labels and no lookahead"
PART = Part(ABOUT, always_possible, run)
