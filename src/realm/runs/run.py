"""The main job: from recordings to a distilled causal decoder, its accuracy and its cost.

A run is a folder. Each stage leaves its files there, and is skipped when they are complete and
belong to the same recipe and data. To resume a run that was stopped, start it again:

    prepared/            one file per session: features, behavior, splits, provenance
    seed0/teacher/       metrics.jsonl, checkpoint.safetensors
    seed0/student/       the same
    seed0/scratch/, gru/ the same, for baselines that train
    seed0/model/         the decoder: `realm decode FILE --model DIR`
    seed0/results.csv    this seed's rows; results.csv holds those of all seeds
    figures/, report.md, report.html, run.json, recipe.json
    tracking/            where the recipe asks for TensorBoard
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from realm.data.prepare import prepare_all
from realm.data.sessions import PreparedSession
from realm.decoder.decoder import Decoder
from realm.evaluation.results import LabelBudget, ResultRow, read_results, write_results
from realm.files import make_folder, read_json, write_json
from realm.locks import Lock
from realm.methods.experiment import Decode, Experiment
from realm.methods.protocol import score_session
from realm.methods.registry import method as method_of
from realm.nn.student import Student
from realm.nn.teacher import AnyTeacher
from realm.progress import Progress, silent
from realm.recipe import Recipe
from realm.recordings.open import find_recordings
from realm.report.outcome import write_decoding, write_figures
from realm.report.write import write_markdown, write_report
from realm.runs.record import describe
from realm.runs.used_folder import check_folder, note_recipe
from realm.stages import STUDENT_PARTS, Clock, SeedRun, each_seed
from realm.training.tracking import tracked

Stage = Literal["prepare", "pretrain", "distill", "evaluate"]


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
    """Do the main job up to stage `until`.

    `jobs` seeds are trained side by side, one process each.

    Returns:
        The rows of `results.csv`; none if `until` is a stage before "evaluate".

    Raises:
        ValueError: the recordings or the folder do not fit, or another run writes the folder; the
            message says what to do.
        OSError: the output folder cannot be written, or the disk is full.
    """
    out = make_folder(out)
    check_jobs(jobs)
    main = Accelerator(cpu=not torch.cuda.is_available()).is_main_process
    with Lock(out) if main else nullcontext():
        return _run(recipe, data, out, until, jobs, cluster, progress)


def _run(
    recipe: Recipe,
    data: Path | str,
    out: Path,
    until: Stage,
    jobs: int,
    cluster: bool,
    progress: Progress | None,
) -> list[ResultRow]:
    if until == "evaluate" and recipe.data.behavior is None:
        raise ValueError(
            "expected data.behavior, the path of what is to be decoded, because decodings are "
            "scored, got none; add it, or stop earlier with --until distill"
        )
    check_folder(recipe, out)
    clock = Clock()
    with clock("prepare"):
        prepared = prepare(recipe, data, out, jobs, cluster)
    took = _time_of_preparation(clock, prepared, out / "run.json")
    if until == "prepare":
        return []
    return run_prepared(
        recipe, prepared, out, until=until, jobs=jobs, progress=progress, preparation=took
    )


def run_prepared(
    recipe: Recipe,
    prepared: Sequence[Path],
    out: Path,
    *,
    until: Stage = "evaluate",
    jobs: int = 1,
    progress: Progress | None = None,
    preparation: dict[str, float] | None = None,
) -> list[ResultRow]:
    """The main job after preparation, on sessions that may lie in another folder than `out`.

    `preparation` holds the seconds that preparing them took, for `run.json`.
    """
    out, progress = make_folder(out), progress or silent()
    check_folder(recipe, out)
    if Accelerator().is_main_process:
        note_recipe(recipe, out)
    task = partial(run_seed, recipe, prepared, out, until=until)
    record = {} if preparation is None else {"prepare": preparation}
    for seed, stages in each_seed(task, recipe.seeds, jobs, progress).items():
        record |= {f"seed{seed}/{name}": figures for name, figures in stages.items()}
    if not Accelerator().is_main_process:
        return []
    write_json(out / "run.json", describe(recipe, prepared, out, record))
    if until != "evaluate":
        return []
    rows = [row for seed in recipe.seeds for row in read_results(out / f"seed{seed}/results.csv")]
    write_results(rows, out / "results.csv")
    write_figures(out, [PreparedSession.load(path) for path in prepared], recipe.seeds)
    write_markdown(out)
    write_report(out, measure=False)
    return rows


def check_jobs(jobs: int) -> None:
    """Refuse `jobs` side by side where several processes already share each training."""
    if jobs > 1 and Accelerator(cpu=not torch.cuda.is_available()).num_processes > 1:
        raise ValueError(
            f"--jobs {jobs}: expected 1 under torchrun, whose processes share each training; "
            "leave --jobs out, or start without torchrun to train seeds side by side"
        )


def prepare(
    recipe: Recipe,
    data: Path | str,
    out: Path,
    jobs: int = 1,
    cluster: bool = False,
) -> list[Path]:
    """The prepared session files of a run; the first process makes them, the others wait."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    with accelerator.main_process_first():
        return prepare_all(
            find_recordings(data),
            out / "prepared",
            recipe.signal,
            recipe.data,
            workers=jobs,
            cluster=cluster,
        )


def run_seed(
    recipe: Recipe,
    prepared: Sequence[Path],
    out: Path,
    seed: int,
    progress: Progress | None = None,
    *,
    until: Stage,
) -> dict[str, dict[str, float]]:
    """Train and score one seed; returns wall and CPU seconds of each stage."""
    progress, folder = progress or silent(), out / f"seed{seed}"
    name, settings = f"{recipe.name}/seed{seed}", recipe.resolved()
    with tracked(recipe.tracking, progress.training, name, out / "tracking", settings) as training:
        job = SeedRun(recipe, prepared, folder, seed, progress._replace(training=training))
        return _stages_of(job, until)


def _stages_of(job: SeedRun, until: Stage) -> dict[str, dict[str, float]]:
    teacher, teacher_cpu_s = job.teacher()
    if until == "pretrain":
        return job.clock.stages
    student, student_cpu_s = job.student(teacher)
    if Accelerator().is_main_process:
        decoder = Decoder.assemble(student, job.sessions, job.recipe, job.seed)
        decoder.save_pretrained(job.folder / "model")
    if until == "evaluate":
        evaluate_seed(job, teacher, teacher_cpu_s, student, student_cpu_s)
    return job.clock.stages


def evaluate_seed(
    job: SeedRun, teacher: AnyTeacher, teacher_cpu_s: float, student: Student, student_cpu_s: float
) -> None:
    """Train the baselines, score every method, write this seed's rows and decodings."""
    recipe, fingerprint = job.recipe, job.fingerprint(*STUDENT_PARTS, "baselines")
    done = job.folder / "evaluated.json"
    if done.exists() and read_json(done)["fingerprint"] == fingerprint:
        job.clock.stages |= read_json(done)["stages"]
        return
    optimization = recipe.distill.optimization
    experiment = experiment_of(job, teacher, teacher_cpu_s, student, student_cpu_s)
    rows: list[ResultRow] = []
    for method in [*recipe.baselines.methods, "student"]:
        job.progress.say(f"seed {job.seed}: {method}")
        report = job.progress.training(f"seed {job.seed} {method}", optimization.steps)
        with job.clock(method):
            rows += _score(job, method, method_of(method)(experiment._replace(report=report)))
    if Accelerator().is_main_process:
        write_results(rows, job.folder / "results.csv")
        write_json(done, {"fingerprint": fingerprint, "stages": job.clock.stages})


def experiment_of(
    job: SeedRun, teacher: AnyTeacher, teacher_cpu_s: float, student: Student, student_cpu_s: float
) -> Experiment:
    """What the methods of a seed share."""
    distill = job.recipe.distill
    return Experiment(
        job.sessions,
        job.source(distill.optimization.batch_size, labels=job.labels),
        job.labels,
        teacher,
        teacher_cpu_s,
        student,
        student_cpu_s,
        distill,
        job.recipe.baselines,
        job.seed,
        job.folder,
        job.fingerprint("data", "signal", "labels", "distill"),
    )


def _score(job: SeedRun, method: str, decode: Decode) -> list[ResultRow]:
    rows = []
    for session in job.scored:
        decoding = decode(session)
        budget: LabelBudget = job.labels.get(session.session_id, "all")
        rows += score_session(method, session, decoding, job.seed, budget)
        write_decoding(job.folder / "decoded", method, session, decoding.behavior)
    return rows


def _time_of_preparation(clock: Clock, prepared: Sequence[Path], record: Path) -> dict[str, float]:
    """Seconds of preparation: of this call, or of the call that made the files found ready."""
    if record.exists() and max(path.stat().st_mtime for path in prepared) < record.stat().st_mtime:
        earlier: dict[str, float] = read_json(record)["stages"]["prepare"]
        return earlier
    return clock.stages["prepare"]
