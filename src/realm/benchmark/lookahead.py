"""Students that may wait a little: R² for some more lookahead, from one teacher.

The teacher is the main run's, whose files are copied to where a run looks for them; only the
students are trained.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from realm.benchmark.part import Benchmark, Part, with_lookahead, with_methods
from realm.benchmark.rows import BenchmarkRow, of_part
from realm.files import atomic_path
from realm.runs.run import run_prepared
from realm.signal.binning import lookahead_bins

TEACHER_FILES = ("metrics.jsonl", "checkpoint.safetensors")


def impossible(benchmark: Benchmark) -> str | None:
    """Refuse lookaheads that are not whole bins, now and not in an hour."""
    for lookahead_ms in benchmark.recipe.benchmark.lookahead_ms:
        try:
            lookahead_bins(lookahead_ms, benchmark.sessions[0].bin_ms)
        except ValueError as error:
            raise ValueError(f"benchmark.{error}") from None
    return None if benchmark.recipe.benchmark.lookahead_ms else "benchmark.lookahead_ms is empty"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """One run folder per lookahead, with the student alone."""
    found = []
    for lookahead_ms in benchmark.recipe.benchmark.lookahead_ms:
        folder = benchmark.out / "lookahead" / f"{lookahead_ms:g}ms"
        for seed in benchmark.recipe.seeds:
            _copy_teacher(benchmark.out / "main" / f"seed{seed}", folder / f"seed{seed}")
        recipe = with_methods(with_lookahead(benchmark.recipe, lookahead_ms), [])
        rows = run_prepared(
            recipe, benchmark.prepared, folder, jobs=benchmark.jobs, progress=benchmark.progress
        )
        found += of_part("lookahead", f"{lookahead_ms:g} ms", rows)
    return found


def _copy_teacher(source: Path, target: Path) -> None:
    """The checkpoint comes last: with it, the teacher is there."""
    for name in TEACHER_FILES:
        if not (target / "teacher" / name).exists():
            with atomic_path(target / "teacher" / name) as temporary:
                shutil.copyfile(source / "teacher" / name, temporary)


ABOUT = (
    "students that wait for some future, distilled from the main run's teacher; total latency "
    "counts the signal chain, a whole bin and the lookahead"
)
PART = Part(ABOUT, impossible, run, needs=("main",))
