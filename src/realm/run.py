"""The main job: recordings in; a distilled causal decoder, its accuracy and its cost out.

A run is a folder. Each stage leaves its files there and is skipped when they are complete and
belong to the same recipe and data, so a run that was stopped goes on where it was:

    prepared/            one file per session: features, behavior, splits, provenance
    seed0/teacher/       metrics.jsonl, checkpoint.safetensors
    seed0/student/       the same
    seed0/scratch/, gru/ the same, for baselines that train
    seed0/model/         the decoder: `realm decode FILE --model DIR`
    seed0/results.csv    this seed's rows; results.csv holds those of all seeds
    figures/, report.md, report.html, run.json
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from accelerate import Accelerator

import realm
from realm.data.prepare import find_recordings, prepare_all
from realm.data.sessions import PreparedSession, PreparedSet
from realm.data.windows import WindowSource
from realm.decoder import Decoder
from realm.evaluation.methods import METHODS, Experiment, new_student, session_info
from realm.evaluation.outcome import write_decoding, write_outcome
from realm.evaluation.protocol import score_session
from realm.evaluation.results import LabelBudget, ResultRow, read_results, write_results
from realm.files import make_folder, read_json, sha256_file, sha256_json, write_json
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.recipe import Recipe
from realm.training.distill import distill, lookahead_bins
from realm.training.loop import Report
from realm.training.pretrain import behavior_scales, pretrain

Stage = Literal["prepare", "pretrain", "distill", "evaluate"]
STAGES: tuple[Stage, ...] = ("prepare", "pretrain", "distill", "evaluate")


class Progress(NamedTuple):
    """What a run tells while it works: a line of text, and a reporter for a training's steps."""

    say: Callable[[str], None]
    training: Callable[[str, int], Report]  # (title, steps) -> report


def silent() -> Progress:
    """Say nothing."""
    return Progress(lambda text: None, lambda title, steps: lambda step, figures: None)


def fingerprint(session: PreparedSession) -> list[str]:
    """Hashes of what a prepared session was made from."""
    return [session.provenance[name] for name in ("input_sha256", "config_sha256")]


def run(
    recipe: Recipe,
    data: Path | str,
    out: Path | str,
    *,
    until: Stage = "evaluate",
    jobs: int = 1,
    cluster: bool = False,
    progress: Progress | None = None,
) -> list[ResultRow]:
    """Do the main job up to stage `until`; returns the rows of `results.csv` (none before it).

    `jobs` seeds are trained side by side, one process each.

    Raises:
        ValueError: the recordings or the folder do not fit; the message says what to do.
        OSError: the output folder cannot be written, or the disk is full.
    """
    progress = progress or silent()
    out = make_folder(out)
    if jobs > 1 and Accelerator(cpu=not torch.cuda.is_available()).num_processes > 1:
        raise ValueError(
            f"--jobs {jobs}: expected 1 under torchrun, whose processes share each training; "
            "leave --jobs out, or start without torchrun to train seeds side by side"
        )
    clock = Clock()
    with clock("prepare"):
        prepared = prepare(recipe, data, out, jobs, cluster, progress)
    record = {"prepare": _time_of_preparation(clock, prepared, out / "run.json")}
    if until == "prepare":
        return []
    seed_stages = _all_seeds(recipe, prepared, out, until, jobs, progress)
    for seed, stages in seed_stages.items():
        record |= {f"seed{seed}/{name}": figures for name, figures in stages.items()}
    if not Accelerator().is_main_process:
        return []
    write_json(out / "run.json", describe(recipe, prepared, record))
    if until != "evaluate":
        return []
    rows = [row for seed in recipe.seeds for row in read_results(out / f"seed{seed}/results.csv")]
    write_results(rows, out / "results.csv")
    write_outcome(out, [PreparedSession.load(path) for path in prepared], recipe.seeds)
    return rows


def prepare(
    recipe: Recipe,
    data: Path | str,
    out: Path,
    jobs: int = 1,
    cluster: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """The prepared session files of a run; made by the first process, waited for by the others."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    with accelerator.main_process_first():
        return prepare_all(
            find_recordings(data), out / "prepared", recipe.signal, recipe.data,
            workers=jobs, cluster=cluster,
        )  # fmt: skip


def run_seed(
    recipe: Recipe, prepared: Sequence[Path], out: Path, seed: int, until: Stage,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Train and score one seed; returns wall and CPU seconds of each stage."""
    return SeedRun(recipe, prepared, out / f"seed{seed}", seed, progress or silent()).go(until)


class SeedRun:
    """The stages of one seed."""

    def __init__(
        self, recipe: Recipe, prepared: Sequence[Path], folder: Path, seed: int, progress: Progress
    ) -> None:
        self.recipe, self.folder, self.seed, self.progress = recipe, folder, seed, progress
        self.sessions = PreparedSet([PreparedSession.load(path) for path in prepared]).sessions
        self.labels = label_budgets(recipe, self.sessions)
        self.data_hash = sha256_json([fingerprint(session) for session in self.sessions])
        self.clock = Clock()
        lookahead_bins(recipe.distill.lookahead_ms, self.sessions[0].bin_ms)  # now, not in an hour

    def go(self, until: Stage) -> dict[str, dict[str, float]]:
        """Run the stages up to `until`."""
        teacher, teacher_cpu_s = self.teacher()
        if until == "pretrain":
            return self.clock.stages
        student, student_cpu_s = self.student(teacher)
        if until == "distill":
            return self.clock.stages
        self.evaluate(teacher, teacher_cpu_s, student, student_cpu_s)
        return self.clock.stages

    def fingerprint(self, *parts: str) -> str:
        """What the result of a stage depends on."""
        return self.recipe.fingerprint(*parts, data_hash=self.data_hash, seed=self.seed)

    def source(self, batch_size: int, split: str = "train") -> WindowSource:
        """Windows of this run's sessions."""
        bin_ms = self.sessions[0].bin_ms
        bins = round(self.recipe.data.window_s * 1000 / bin_ms)
        labels = self.labels if split == "train" else None
        return WindowSource(
            self.sessions, split=split, window_bins=bins, batch_size=batch_size, seed=self.seed,
            label_s=labels,
        )  # fmt: skip

    def teacher(self) -> tuple[Teacher, float]:
        """The pretrained teacher and the CPU seconds it took."""
        config = self.recipe.pretrain
        source = self.source(config.optimization.batch_size)
        torch.manual_seed(self.seed)
        infos = [session_info(session) for session in self.sessions]
        teacher = Teacher(config.encoder, infos, len(self.sessions[0].behavior_names))
        for session_id, scale in behavior_scales(self.sessions, self.labels).items():
            teacher.set_behavior_scale(session_id, *scale)
        _check_compact(new_student(self.sessions, self.labels, self.recipe.distill, 0), teacher)
        self.progress.say(f"seed {self.seed}: teacher, {_count(teacher):,} parameters")
        result = pretrain(
            teacher, source, self.source(config.optimization.batch_size, "validation"), config,
            self.folder / "teacher", seed=self.seed,
            fingerprint=self.fingerprint("data", "signal", "labels", "pretrain"),
            report=self.progress.training(f"seed {self.seed} teacher", config.optimization.steps),
        )  # fmt: skip
        self.clock.note("pretrain", result.wall_s, result.cpu_s)
        return teacher, result.cpu_s

    def student(self, teacher: Teacher) -> tuple[Student, float]:
        """The distilled student and the CPU seconds its distillation took."""
        config = self.recipe.distill
        source = self.source(config.optimization.batch_size)
        student = new_student(self.sessions, self.labels, config, self.seed)
        self.progress.say(f"seed {self.seed}: student, {_count(student):,} parameters")
        result = distill(
            student, teacher, source, self.sessions, config, self.folder / "student",
            seed=self.seed, fingerprint=self.fingerprint(*_STUDENT_PARTS),
            report=self.progress.training(f"seed {self.seed} student", config.optimization.steps),
        )  # fmt: skip
        if Accelerator().is_main_process:
            Decoder.assemble(student, self.sessions, self.recipe, self.seed).save_pretrained(
                self.folder / "model"
            )
        self.clock.note("distill", result.wall_s, result.cpu_s)
        return student, result.cpu_s

    def evaluate(
        self, teacher: Teacher, teacher_cpu_s: float, student: Student, student_cpu_s: float
    ) -> None:
        """Train the baselines, score every method, write this seed's rows and decodings."""
        fingerprint = self.fingerprint(*_STUDENT_PARTS, "baselines")
        done = self.folder / "evaluated.json"
        if done.exists() and read_json(done)["fingerprint"] == fingerprint:
            self.clock.stages |= read_json(done)["stages"]
            return
        rows: list[ResultRow] = []
        for method in [*self.recipe.baselines.methods, "student"]:
            steps = self.recipe.distill.optimization.steps
            source = self.source(self.recipe.distill.optimization.batch_size)
            experiment = Experiment(
                self.sessions, source, self.labels,
                teacher, teacher_cpu_s, student, student_cpu_s,
                self.recipe.distill, self.recipe.baselines, self.seed, self.folder,
                self.fingerprint(*_STUDENT_PARTS, "baselines"),
                self.progress.training(f"seed {self.seed} {method}", steps),
            )  # fmt: skip
            self.progress.say(f"seed {self.seed}: {method}")
            with self.clock(method):
                rows += self._score(method, experiment)
        if not Accelerator().is_main_process:
            return
        write_results(rows, self.folder / "results.csv")
        write_json(done, {"fingerprint": fingerprint, "stages": self.clock.stages})

    def _score(self, method: str, experiment: Experiment) -> list[ResultRow]:
        decode, rows = METHODS[method](experiment), []
        for session in self.sessions:
            decoding = decode(session)
            budget: LabelBudget = self.labels.get(session.session_id, "all")
            rows += score_session(method, session, decoding, self.seed, budget)
            write_decoding(self.folder / "decoded", method, session, decoding.behavior)
        return rows


_STUDENT_PARTS = ("data", "signal", "labels", "pretrain", "distill")


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
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _time_of_preparation(clock: Clock, prepared: Sequence[Path], record: Path) -> dict[str, float]:
    """What preparation took: this time, or when the files that were found ready were made."""
    if record.exists() and max(path.stat().st_mtime for path in prepared) < record.stat().st_mtime:
        earlier: dict[str, float] = read_json(record)["stages"]["prepare"]
        return earlier
    return clock.stages["prepare"]


def label_budgets(recipe: Recipe, sessions: Sequence[PreparedSession]) -> dict[str, float]:
    """Seconds of labels of the sessions that have a budget; the others have all.

    Raises:
        ValueError: a pattern of labels.sessions fits no session.
    """
    if recipe.labels.budget_s == "all":
        return {}
    names = [session.session_id for session in sessions]
    for pattern in recipe.labels.sessions:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(
                f"labels.sessions: expected names or patterns of {', '.join(names)}; "
                f"{pattern!r} fits none of them"
            )
    chosen = [n for n in names if any(fnmatch(n, pattern) for pattern in recipe.labels.sessions)]
    return dict.fromkeys(chosen, float(recipe.labels.budget_s))


def describe(
    recipe: Recipe, prepared: Sequence[Path], stages: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """What `run.json` says: settings, versions, commit, data hashes and times."""
    packages = ("numpy", "scipy", "torch", "torch_brain", "scikit-learn", "accelerate")
    sessions = [PreparedSession.load(path) for path in prepared]
    return {
        "recipe": recipe.resolved(),
        "versions": {"realm-lfp": realm.__version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        "commit": commit(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "data": {
            session.session_id: {
                "recording_sha256": session.provenance["input_sha256"],
                "prepared_sha256": sha256_file(path),
            }
            for session, path in zip(sessions, prepared, strict=True)
        },
        "stages": stages,
    }


def commit() -> str | None:
    """The commit of the source tree this package runs from, "+" if it was changed; else None."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", str(folder))
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _all_seeds(
    recipe: Recipe, prepared: Sequence[Path], out: Path, until: Stage, jobs: int, progress: Progress
) -> dict[int, dict[str, dict[str, float]]]:
    if jobs == 1 or len(recipe.seeds) == 1:
        return {
            seed: run_seed(recipe, prepared, out, seed, until, progress) for seed in recipe.seeds
        }
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = {
            seed: pool.submit(_run_seed_alone, recipe, prepared, out, seed, until)
            for seed in recipe.seeds
        }
        for seed, future in pending.items():
            future.result()
            progress.say(f"seed {seed}: done")
        return {seed: future.result() for seed, future in pending.items()}


def _run_seed_alone(
    recipe: Recipe, prepared: Sequence[Path], out: Path, seed: int, until: Stage
) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    return run_seed(recipe, prepared, out, seed, until)


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _check_compact(student: Student, teacher: Teacher) -> None:
    ours, theirs = _count(student), _count(teacher)
    if ours * 2 > theirs:
        raise ValueError(
            f"distill.encoder: expected a student of at most half the teacher's {theirs:,} "
            f"parameters, got {ours:,}; make distill.encoder smaller or pretrain.encoder larger"
        )
