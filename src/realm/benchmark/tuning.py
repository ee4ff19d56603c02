"""`realm tune`: every method gets the same number of trials; only validation time is scored.

The behavior of test time is hidden from everything here, so no score of it can be computed. The
result of a trial is written as soon as it is there. To resume, run the same command again.

    prepared/                   one file per session, shared by all trials
    teachers/<settings>/        the teachers of teacher_probe; the student's is the recipe's own
    gru/trial0/gru/             metrics.jsonl, checkpoint.safetensors
    gru/trial0/trial.json       its settings, R² on validation time, CPU seconds
    tuning.csv, tuning.md       all trials; the best settings as lines of a recipe
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realm.benchmark.trials import (
    Settings,
    TrialResult,
    draw_trials,
    read_tuning,
    with_settings,
    write_tuning,
)
from realm.data.sessions import PreparedSession
from realm.evaluation.metrics import mean_defined, mean_r2
from realm.files import make_folder, read_json, sha256_json, write_json
from realm.methods.experiment import Decode
from realm.methods.registry import method as method_of
from realm.methods.registry import names
from realm.nn.teacher import AnyTeacher
from realm.progress import Progress, silent
from realm.recipe import Recipe
from realm.runs.run import experiment_of, prepare
from realm.stages import SeedRun
from realm.workers import Workers

UNTRAINED: Any = None  # instead of a teacher or student that a method must not use


class Trial(NamedTuple):
    """One training to score; it can run in a process of its own."""

    recipe: Recipe  # the trial's settings in it
    prepared: Sequence[Path]
    out: Path  # of the whole tuning
    method: str
    trial: int
    settings: Settings
    seed: int
    own_recipe: Recipe  # as it was given: the teacher of a student is trained with it

    @property
    def folder(self) -> Path:
        """Where it leaves its files."""
        return self.out / self.method / f"trial{self.trial}"


class WithoutTestBehavior(PreparedSession):
    """A prepared session whose behavior is unknown in test time."""

    def behavior(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As of any session, with nothing known from the first bin of test time on."""
        values, mask = super().behavior(start, stop)
        seen = np.arange(start, stop) < self.splits["test"][0]
        return np.where(seen[:, None], values, np.float32(0)), mask & seen


def tune(
    recipe: Recipe,
    data: Path | str,
    out: Path | str,
    methods: Sequence[str],
    *,
    trials: int = 6,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[TrialResult]:
    """Do `trials` trials of each method; returns them, in the order of `methods`.

    Rows of `tuning.csv` that belong to other methods are kept.

    Raises:
        ValueError: a method has nothing to tune, or the folder belongs to another recipe.
    """
    progress, out = progress or silent(), make_folder(out)
    drawn = {method: draw_trials(recipe, method, trials, seed) for method in methods}
    prepared = prepare(recipe, data, out, jobs)
    pending = [
        Trial(with_settings(recipe, settings), prepared, out, method, k, settings, seed, recipe)
        for method in drawn
        for k, settings in enumerate(drawn[method])
    ]
    with_teacher = [trial for trial in pending if trial.method == "student"]
    alone = [trial for trial in pending if trial.method != "student"]
    results = _do(alone, jobs, progress)
    if with_teacher:
        first = with_teacher[0]  # once, before students are trained side by side
        _teacher(recipe, first, progress)
        results += _do(with_teacher, jobs, progress)
    results.sort(key=lambda result: list(drawn).index(result.method))
    earlier = [row for row in read_tuning(out / "tuning.csv") if row.method not in drawn]
    write_tuning(out, sorted(earlier + results, key=lambda row: names().index(row.method)))
    return results


def _do(trials: Sequence[Trial], jobs: int, progress: Progress) -> list[TrialResult]:
    if jobs == 1:
        return [_one_trial(trial, progress) for trial in trials]
    with Workers(jobs) as pool:
        results = []
        for result in pool.map(_one_trial_alone, trials):
            progress.say(_line(result))
            results.append(result)
        return results


def _one_trial_alone(trial: Trial) -> TrialResult:
    torch.set_num_threads(1)
    return _one_trial(trial, silent())


def _one_trial(trial: Trial, progress: Progress) -> TrialResult:
    """Train, decode and score on validation time; or read the result of an earlier call."""
    job = _job(trial.recipe, trial, trial.folder, progress)
    done, fingerprint = trial.folder / "trial.json", _fingerprint(job, trial.method)
    if done.exists() and (found := read_json(done))["fingerprint"] == fingerprint:
        return _result(trial, found["validation_r2"], found["cpu_s"])
    decode = _trained(job, trial, progress)
    scores, seconds = [], []
    for session in job.scored:
        decoding = decode(session)
        span = slice(*session.splits["validation"])
        behavior, known = session.behavior(*session.splits["validation"])
        scores.append(mean_r2(behavior, decoding.behavior[span], known))
        seconds.append(decoding.train_cpu_s)
    cpu_s = (sum if method_of(trial.method).fitted_to_sessions else max)(seconds)
    mean = mean_defined(scores)
    result = _result(trial, None if math.isnan(mean) else mean, round(cpu_s, 3))
    facts = {"settings": trial.settings, "cpu_s": result.cpu_s, "fingerprint": fingerprint}
    write_json(done, {"validation_r2": None if math.isnan(mean) else mean, **facts})
    progress.say(_line(result))
    return result


def _trained(job: SeedRun, trial: Trial, progress: Progress) -> Decode:
    """The method, trained; a teacher and a student only where the method is about them."""
    teacher, teacher_cpu_s, student, student_cpu_s = UNTRAINED, 0.0, UNTRAINED, 0.0
    method, is_student = method_of(trial.method), trial.method == "student"
    if method.needs_teacher:
        recipe = trial.own_recipe if is_student else trial.recipe
        teacher, teacher_cpu_s = _teacher(recipe, trial, progress)
    if is_student:
        student, student_cpu_s = job.student(teacher)
    own = method.settings_in(job.recipe.baselines)
    optimization = getattr(own, "optimization", job.recipe.distill.optimization)
    report = progress.training(f"{trial.method} trial {trial.trial}", optimization.steps)
    experiment = experiment_of(job, teacher, teacher_cpu_s, student, student_cpu_s)
    return method(experiment._replace(report=report))


def _teacher(recipe: Recipe, trial: Trial, progress: Progress) -> tuple[AnyTeacher, float]:
    """The teacher of a recipe, trained once however many trials ask for it."""
    job = _job(recipe, trial, trial.folder, progress)
    settings = job.fingerprint("data", "signal", "labels", "pretrain")
    job.folder = trial.out / "teachers" / settings[:12]
    return job.teacher()


def _job(recipe: Recipe, trial: Trial, folder: Path, progress: Progress) -> SeedRun:
    job = SeedRun(recipe, trial.prepared, folder, trial.seed, progress)
    scored = {session.session_id for session in job.scored}
    job.sessions = [
        WithoutTestBehavior.load(session.path) if session.has_behavior else session
        for session in job.sessions
    ]
    job.scored = [session for session in job.sessions if session.session_id in scored]
    return job


def _fingerprint(job: SeedRun, method: str) -> str:
    """What the outcome of a trial depends on; other methods' settings are not part of it."""
    found = method_of(method)
    own = found.settings_in(job.recipe.baselines)
    settings = None if own is None else own.model_dump(mode="json")
    shared = job.fingerprint("data", "signal", "labels", *found.recipe_parts)
    return sha256_json({"shared": shared, "method": method, "settings": settings})


def _result(trial: Trial, r2: float | None, cpu_s: float) -> TrialResult:
    score = float("nan") if r2 is None else r2
    return TrialResult(trial.method, trial.trial, trial.settings, score, cpu_s)


def _line(result: TrialResult) -> str:
    return (
        f"{result.method} trial {result.trial}: R² on validation {result.validation_r2:.3f}, "
        f"{result.cpu_s:.0f} CPU s"
    )
