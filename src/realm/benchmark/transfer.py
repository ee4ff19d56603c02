"""Decoders that are carried over to later days: drift, and what calibration gives back.

Trained on the first sessions of every subject with enough of them; its later sessions are decoded
as they come, and after calibration with a little, more, or all of their labels. Sessions of other
subjects are in the training too.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import chain

from realm.benchmark.carry import METHODS, carry_over_seed
from realm.benchmark.part import Benchmark, Part, with_methods
from realm.benchmark.rows import BenchmarkRow, of_part
from realm.runs.run import run_prepared
from realm.stages import each_seed

FEWEST_SESSIONS = 3  # of a subject
TRAINED = "trained"  # variant of the sessions that the decoders were trained on


def new_sessions(benchmark: Benchmark) -> list[str]:
    """The sessions that are kept out of the training, subject by subject, in order of time."""
    share = benchmark.recipe.benchmark.training_share
    return [
        session
        for sessions in benchmark.by_subject.values()
        if len(sessions) >= FEWEST_SESSIONS
        for session in sessions[math.ceil(len(sessions) * share - 1e-9) :]
    ]


def impossible(benchmark: Benchmark) -> str | None:
    """It takes a subject with sessions to train on and one to come."""
    if new_sessions(benchmark):
        return None
    most = max(len(sessions) for sessions in benchmark.by_subject.values())
    if most < FEWEST_SESSIONS:
        return f"no subject has {FEWEST_SESSIONS} sessions or more"
    return "benchmark.training_share leaves no later session to decode"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """A run folder of the earlier sessions, then the later ones with its decoders."""
    out, new = benchmark.out / "transfer", new_sessions(benchmark)
    every = chain.from_iterable(benchmark.by_subject.values())
    training = benchmark.prepared_of([session for session in every if session not in new])
    recipe = with_methods(benchmark.recipe, ["ridge", *METHODS])
    rows = run_prepared(recipe, training, out, jobs=benchmark.jobs, progress=benchmark.progress)
    task = partial(carry_over_seed, recipe, training, benchmark.prepared_of(new), out)
    carried = each_seed(task, recipe.seeds, benchmark.jobs, benchmark.progress)
    return of_part("transfer", TRAINED, rows) + [row for rows in carried.values() for row in rows]


ABOUT = (
    "trained without the last sessions of every subject, which are then decoded as they come (the "
    "map that the subject's sessions share, their mean scale of behavior, and statistics of the "
    "new session's own unlabelled signal) and after calibration; ridge is fitted to the same labels"
)
PART = Part(ABOUT, impossible, run)
