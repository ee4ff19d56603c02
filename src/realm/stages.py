"""The training stages of one seed: a teacher, then the student distilled from it.

Each leaves its checkpoint and its log in a folder; one that is complete and belongs to the same
recipe and data is not trained again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import torch

from realm.data.sessions import PreparedSession, PreparedSet
from realm.data.windows import WindowSource
from realm.files import sha256_json
from realm.nn.student import Student
from realm.nn.teacher import AnyTeacher, Teacher, TeacherEnsemble
from realm.progress import Progress, Relay, relayed
from realm.recipe import Recipe
from realm.signal.binning import lookahead_bins
from realm.systems import children_cpu_s
from realm.training.build import behavior_scales, new_student, new_teacher
from realm.training.distill import DistillObjective, distill
from realm.training.pretrain import pretrain
from realm.workers import Workers

Result = TypeVar("Result")
SEEDS_APART = 100_000  # between the teachers of one seed
STUDENT_PARTS = ("data", "signal", "labels", "pretrain", "distill")


class SeedRun:
    """One seed of a recipe on prepared sessions."""

    def __init__(
        self, recipe: Recipe, prepared: Sequence[Path], folder: Path, seed: int, progress: Progress
    ) -> None:
        self.recipe, self.folder, self.seed, self.progress = recipe, folder, seed, progress
        every = PreparedSet([PreparedSession.load(path) for path in prepared]).sessions
        new = held_out(recipe, every)
        seen = recipe.labels.held_out_signal == "seen"
        self.sessions = [s for s in every if seen or s.session_id not in new]
        self.scored = [s for s in every if s.has_behavior and s.session_id not in new]
        self.labels = label_budgets(recipe, every) | dict.fromkeys(new, 0.0)
        names = [session.session_id for session in self.sessions]
        self.labels = {name: budget for name, budget in self.labels.items() if name in names}
        # What teacher and student may read; methods they are compared with read `labels`.
        self.own_labels = dict.fromkeys(names, 0.0) if recipe.label_free else self.labels
        self.data_hash = sha256_json([fingerprint(session) for session in self.sessions])
        self.clock = Clock()
        lookahead_bins(recipe.distill.lookahead_ms, self.sessions[0].bin_ms)  # now, not in an hour

    def fingerprint(self, *parts: str) -> str:
        """What the result of a stage depends on."""
        return self.recipe.fingerprint(*parts, data_hash=self.data_hash, seed=self.seed)

    def source(
        self,
        batch_size: int,
        split: str = "train",
        labels: Mapping[str, float] | None = None,
    ) -> WindowSource:
        """Windows of this run's sessions, with these label budgets in training time.

        Without `labels`, with those that teacher and student may read.
        """
        bin_ms = self.sessions[0].bin_ms
        bins = round(self.recipe.data.window_s * 1000 / bin_ms)
        labels = self.own_labels if labels is None else labels
        return WindowSource(
            self.sessions,
            split=split,
            window_bins=bins,
            batch_size=batch_size,
            seed=self.seed,
            label_s=labels if split == "train" else None,
        )

    def teacher(self) -> tuple[AnyTeacher, float]:
        """The pretrained teacher, or several as one, and the CPU seconds it took."""
        begun = time.perf_counter()
        teacher, cpu_s = train_teachers(self.recipe.pretrain.teachers, self.seed, self._teacher)
        self.clock.note("pretrain", time.perf_counter() - begun, cpu_s)
        return teacher, cpu_s

    def _teacher(self, name: str, seed: int) -> tuple[Teacher, float]:
        config = self.recipe.pretrain
        source = self.source(config.optimization.batch_size)
        teacher = new_teacher(self.sessions, self.own_labels, config.encoder, seed)
        student = new_student(self.sessions, self.own_labels, self.recipe.distill, 0)
        _check_compact(student, teacher, config.teachers)
        self.progress.say(f"seed {self.seed}: {name}, {_count(teacher):,} parameters")
        result = pretrain(
            teacher,
            source,
            self.source(config.optimization.batch_size, "validation"),
            config,
            self.folder / name,
            seed=seed,
            fingerprint=self.fingerprint("data", "signal", "labels", "pretrain"),
            report=self.progress.training(f"seed {self.seed} {name}", config.optimization.steps),
        )
        return teacher, result.cpu_s

    def student(self, teacher: AnyTeacher) -> tuple[Student, float]:
        """The distilled student and the CPU seconds its distillation took."""
        config = self.recipe.distill
        source = self.source(config.optimization.batch_size)
        student = new_student(self.sessions, self.own_labels, config, self.seed)
        self.progress.say(f"seed {self.seed}: student, {_count(student):,} parameters")
        result = distill(
            student,
            teacher,
            source,
            self.sessions,
            config,
            self.folder / "student",
            seed=self.seed,
            fingerprint=self.fingerprint(*STUDENT_PARTS),
            report=self.progress.training(f"seed {self.seed} student", config.optimization.steps),
        )
        cpu_s, wall_s = result.cpu_s, result.wall_s
        if self.recipe.label_free and self.sessions[0].behavior_names:
            begun = time.process_time(), time.perf_counter()
            self._fit_head(student)
            cpu_s += time.process_time() - begun[0]
            wall_s += time.perf_counter() - begun[1]
        self.clock.note("distill", wall_s, cpu_s)
        return student, cpu_s

    def _fit_head(self, student: Student) -> None:
        """Fit the head to the labels in closed form; the rest was trained without them."""
        for session_id, scale in behavior_scales(self.sessions, self.labels).items():
            student.set_behavior_scale(session_id, *scale)
        labelled = self.recipe.distill.model_copy(update={"task_weight": 1.0})
        objective = DistillObjective(student, None, labelled, self.seed, self.sessions)
        objective.refit_head(self.labels)


def train_teachers(
    count: int, seed: int, train_one: Callable[[str, int], tuple[Teacher, float]]
) -> tuple[AnyTeacher, float]:
    """As many teachers as asked for, as one, and the CPU seconds of all.

    `train_one` gets a name, which is also its folder's, and the seed of one of them.
    """
    names = ["teacher", *(f"teacher{number}" for number in range(2, count + 1))]
    trained = [train_one(name, seed + SEEDS_APART * k) for k, name in enumerate(names)]
    cpu_s = sum(cost for _, cost in trained)
    if count == 1:
        return trained[0][0], cpu_s
    return TeacherEnsemble([teacher for teacher, _ in trained]), cpu_s


def each_seed(
    task: Callable[[int, Progress], Result], seeds: Sequence[int], jobs: int, progress: Progress
) -> dict[int, Result]:
    """Do `task(seed, progress)` for every seed, `jobs` of them side by side in processes.

    In a process of its own a task uses one thread; it must then be picklable by `multiprocessing`:
    a function of a module, or a `functools.partial` of one.
    """
    if jobs == 1 or len(seeds) == 1:
        return {seed: task(seed, progress) for seed in seeds}
    with Relay(progress) as relay, Workers(min(jobs, len(seeds)), relay) as pool:
        pending = {seed: pool.submit(_alone, task, seed) for seed in seeds}
        for seed, future in pending.items():
            future.result()
            progress.say(f"seed {seed}: done")
        return {seed: future.result() for seed, future in pending.items()}


def _alone(task: Callable[[int, Progress], Result], seed: int) -> Result:
    torch.set_num_threads(1)
    return task(seed, relayed())


def label_budgets(recipe: Recipe, sessions: Sequence[PreparedSession]) -> dict[str, float]:
    """Seconds of labels of the sessions that have a budget; the others have all.

    Raises:
        ValueError: a pattern of labels.sessions fits no session.
    """
    if recipe.labels.budget_s == "all":
        return {}
    chosen = _named("labels.sessions", recipe.labels.sessions, sessions)
    return dict.fromkeys(chosen, float(recipe.labels.budget_s))


def held_out(recipe: Recipe, sessions: Sequence[PreparedSession]) -> list[str]:
    """Names of the sessions that are new to the networks.

    Raises:
        ValueError: a pattern of labels.held_out fits no session, or none is left to train on.
    """
    new = _named("labels.held_out", recipe.labels.held_out, sessions)
    if len(new) == len(sessions):
        raise ValueError(
            "labels.held_out: expected at least one session that is not held out, but the patterns "
            f"fit all of {', '.join(new)}; leave one to train on"
        )
    return new


def _named(key: str, patterns: Sequence[str], sessions: Sequence[PreparedSession]) -> list[str]:
    names = [session.session_id for session in sessions]
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(
                f"{key}: expected names or patterns of {', '.join(names)}; {pattern!r} fits none "
                "of them"
            )
    return [n for n in names if any(fnmatch(n, pattern) for pattern in patterns)]


def fingerprint(session: PreparedSession) -> list[str]:
    """Hashes of what a prepared session was made from."""
    return [session.provenance[name] for name in ("input_sha256", "config_sha256")]


class Clock:
    """Wall and CPU seconds by stage, those of finished child processes included."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}

    def __call__(self, name: str) -> Clock:
        """Name the stage that the next `with` block times."""
        self._name = name
        return self

    def __enter__(self) -> None:
        self._begun = time.perf_counter(), _cpu_s()

    def __exit__(self, *_: object) -> None:
        self.note(self._name, time.perf_counter() - self._begun[0], _cpu_s() - self._begun[1])

    def note(self, name: str, wall_s: float, cpu_s: float) -> None:
        """Write down what a stage took."""
        self.stages[name] = {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3)}


def _cpu_s() -> float:
    return time.process_time() + children_cpu_s()


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _check_compact(student: Student, teacher: Teacher, teachers: int) -> None:
    ours, theirs = _count(student), teachers * _count(teacher)
    if ours * 2 > theirs:
        raise ValueError(
            f"distill.encoder: expected a student of at most half the teachers' {theirs:,} "
            f"parameters, got {ours:,}; make distill.encoder smaller or pretrain.encoder larger"
        )
