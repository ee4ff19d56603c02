"""The whole run of a recipe, now and at an earlier commit: seconds by stage, and R².

    python -m benchmarks.end_to_end --before COMMIT --data FOLDER --out FILE.json

The earlier source is laid out in a temporary folder by `git archive`. Both read the same recipe,
with the same interpreter, `realm run` as a user types it, in alternating rounds after a short one
each that does not count and leaves compiled code behind. `--jobs 1` asks both for one process;
otherwise each uses as many as it does by itself. `--steps-share 0.1` takes a tenth of the training
steps: what does not depend on them then weighs more. On two cores a full round of `reach_sim` takes
some ten minutes for each seed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tarfile
import time
from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks.timing import Row, compare
from realm.certify.environment import machine, versions
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import read_results
from realm.files import read_json, write_json
from realm.recipe import load_recipe

ROOT = Path(__file__).parents[1]
TARGET = 0.5  # of the earlier time
STEPS = ("pretrain.optimization.steps", "distill.optimization.steps")


class Taken(NamedTuple):
    """What one run took and gave."""

    cpu_s: dict[str, float]  # by stage, over all seeds; "whole" is that of all processes
    wall_s: dict[str, float]  # of the whole
    r2: float  # the student's on test time, mean over sessions and seeds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write it."""
    options = _options(arguments)
    recipe, share = options.recipe.resolve(), options.steps_share
    with TemporaryDirectory() as folder:
        sources = {"before": _lay_out(options.before, Path(folder)), "now": ROOT / "src"}
        out, data = Path(folder) / "run", options.data.resolve()
        for name, source in sources.items():
            changes = _changes(recipe, options.seeds[:1], 0.0)
            _run(source, recipe, data, out / f"{name}-first", changes, options.jobs)
        taken: dict[str, list[Taken]] = defaultdict(list)
        for at in range(options.rounds):
            for name, source in sources.items():
                changes = _changes(recipe, options.seeds, share)
                folder_of = out / f"{name}{at}"
                taken[name].append(_run(source, recipe, data, folder_of, changes, options.jobs))
                print(f"round {at + 1}, {name}: {taken[name][-1]}", flush=True)
    rows = _rows(taken["now"], taken["before"])
    for row in rows:
        print(f"{row.name:28} {row.value:9.2f} s of {row.reference_value:9.2f} s: {row.ratio:.2f}")
    results = {
        "machine": machine(),
        "versions": versions(),
        "before": options.before,
        "recipe": recipe.name,
        "seeds": options.seeds,
        "steps_share": share,
        "rounds": options.rounds,
        "jobs": options.jobs,
        "rows": [row._asdict() for row in rows],
        "r2": {name: [run.r2 for run in runs] for name, runs in taken.items()},
    }
    write_json(options.out, results)


def _options(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.end_to_end",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", required=True, help="commit to compare with")
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "reach_sim.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="else 0 alone")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", type=int, help="for both; else as each does by itself")
    parser.add_argument("--steps-share", type=float, default=1.0, help="share of training steps")
    return parser.parse_args(arguments)


def _lay_out(commit: str, folder: Path) -> Path:
    """The `src` folder of a commit."""
    archive = ["git", "-C", str(ROOT), "archive", commit, "src"]
    packed = subprocess.run(archive, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src"


def _changes(recipe: Path, seeds: Sequence[int], share: float) -> list[str]:
    """Settings that make a recipe shorter."""
    resolved = load_recipe(recipe)
    full = resolved.pretrain.optimization.steps, resolved.distill.optimization.steps
    steps = [f"{key}={max(2, round(share * n))}" for key, n in zip(STEPS, full, strict=True)]
    return [f"seeds={list(seeds)}", *steps]


def _run(
    source: Path, recipe: Path, data: Path, out: Path, changes: Sequence[str], jobs: int | None
) -> Taken:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "realm", "run", str(recipe), "--data", str(data)]
    command += ["--out", str(out), *([] if jobs is None else ["--jobs", str(jobs)])]
    command += [part for change in changes for part in ("--set", change)]
    begun, used = time.perf_counter(), _children_s()
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        command,
        env=environment,
        cwd=source.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    whole = {"cpu_s": _children_s() - used, "wall_s": time.perf_counter() - begun}
    cpu_s = _by_stage(out, whole["cpu_s"])
    rows = [r for r in read_results(out / "results.csv") if r.method == "student"]
    r2 = mean_defined([row.r2 for row in rows if row.split == "test"])
    return Taken(cpu_s, {"whole": whole["wall_s"]}, r2)


def _by_stage(out: Path, whole_s: float) -> dict[str, float]:
    """CPU seconds of every stage over all seeds, of what is no stage, and of the whole."""
    seconds: dict[str, float] = defaultdict(float)
    for name, taken in read_json(out / "run.json")["stages"].items():
        seconds[name.split("/")[-1]] += taken["cpu_s"]
    seconds["start, figures and report"] = whole_s - sum(seconds.values())
    return {**seconds, "whole": whole_s}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rows(now: Sequence[Taken], before: Sequence[Taken]) -> list[Row]:
    rows = []
    for kind, label in (("cpu_s", "CPU"), ("wall_s", "wall")):
        for stage in getattr(now[0], kind):
            new, old = (
                np.array([getattr(run, kind).get(stage, np.nan) for run in runs])
                for runs in (now, before)
            )
            target = TARGET if stage == "whole" else None
            rows.append(compare(f"{stage}, {label}", new, "s", "the earlier commit", old, target))
    return rows


if __name__ == "__main__":
    main()
