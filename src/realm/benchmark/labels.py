"""Few labels on the last day: the last session of every subject has a budget, all others none.

Everything is trained anew under the budget, the teacher too, for it uses labels.
"""

from __future__ import annotations

from realm.benchmark.part import Benchmark, Part, with_methods
from realm.benchmark.rows import BenchmarkRow, of_part
from realm.recipe import LabelsConfig
from realm.runs.run import run_prepared

METHODS: tuple[str, ...] = ("ridge", "gru", "scratch", "teacher_probe")
FEWEST_SESSIONS = 2  # of a subject


def target_sessions(benchmark: Benchmark) -> list[str]:
    """The last session of every subject that has others."""
    subjects = benchmark.by_subject.values()
    return [sessions[-1] for sessions in subjects if len(sessions) >= FEWEST_SESSIONS]


def impossible(benchmark: Benchmark) -> str | None:
    """It takes a subject with an earlier session to learn from."""
    if target_sessions(benchmark):
        return None
    return "every subject has a single session, so none has an earlier one to learn from"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """One run folder per label budget."""
    found = []
    for label_s in benchmark.recipe.benchmark.label_s:
        labels = LabelsConfig(budget_s=label_s, sessions=tuple(target_sessions(benchmark)))
        recipe = with_methods(benchmark.recipe, METHODS).model_copy(update={"labels": labels})
        rows = run_prepared(
            recipe,
            benchmark.prepared,
            benchmark.out / f"labels{label_s:g}",
            jobs=benchmark.jobs,
            progress=benchmark.progress,
        )
        found += of_part("labels", f"{label_s:g} s", rows)
    return found


ABOUT = (
    "the last session of every subject has few labels, all other sessions have theirs; trained "
    "anew for each budget, the teacher too. Validation labels, which decide when to stop, are not "
    "counted"
)
PART = Part(ABOUT, impossible, run)
