"""Use the trained decoders of one seed on sessions on which they were not trained.

Every decoder is used on a new session in three ways: without calibration, with the map that the
subject's sessions share and their mean scale of behavior; with only its adapter and head
calibrated; and with all of it calibrated. Ridge is fitted to the same labels of the new session.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from realm.benchmark.part import BenchmarkRow, of_part, read_rows, write_rows
from realm.data.sessions import PreparedSession
from realm.decoder.calibration import add_session, calibrate_student
from realm.evaluation.results import LabelBudget
from realm.files import read_json, sha256_json, write_json
from realm.methods.experiment import Decode
from realm.methods.networks import StudentDecoder
from realm.methods.protocol import score_session
from realm.methods.registry import METHODS as ALL_METHODS
from realm.progress import Progress
from realm.recipe import Recipe
from realm.runs.run import experiment_of
from realm.stages import STUDENT_PARTS, SeedRun, fingerprint
from realm.training.build import behavior_scales

METHODS: tuple[str, ...] = ("gru", "scratch")  # beside the student
NO_LABELS, OWN_LABELS = "no labels", "own labels"
Mode = Literal["adapter_and_head", "everything"]
MODES: tuple[Mode, ...] = get_args(Mode)


def carry_over_seed(
    recipe: Recipe,
    training: Sequence[Path],
    new: Sequence[Path],
    out: Path,
    seed: int,
    progress: Progress,
) -> list[BenchmarkRow]:
    """The rows of all new sessions for one seed of the run in `out`, or those found there."""
    job = SeedRun(recipe, training, out / f"seed{seed}", seed, progress)
    sessions = [PreparedSession.load(path) for path in new]
    done, found = job.folder / "carried.json", job.folder / "carried.csv"
    facts = {"new": [fingerprint(session) for session in sessions]}
    wanted = job.fingerprint(*STUDENT_PARTS, "calibrate", "baselines", "benchmark")
    wanted = sha256_json(facts | {"run": wanted})
    if done.exists() and read_json(done)["fingerprint"] == wanted:
        return read_rows(found)
    carrier = _Carrier(job)
    rows = [row for session in sessions for row in carrier.rows(session)]
    write_rows(rows, found)
    write_json(done, {"fingerprint": wanted})
    return rows


class _Carrier:
    """The decoders of one seed, for sessions on which they were not trained."""

    def __init__(self, job: SeedRun) -> None:
        self.job = job
        teacher, teacher_cpu_s = job.teacher()
        student, student_cpu_s = job.student(teacher)
        self.experiment = experiment_of(job, teacher, teacher_cpu_s, student, student_cpu_s)
        self.budgets: tuple[LabelBudget, ...] = (*job.recipe.benchmark.label_s, "all")
        self.trained = {method: self._trained(method) for method in (*METHODS, "student")}

    def rows(self, session: PreparedSession) -> list[BenchmarkRow]:
        """Every decoder, every variant, every budget, on one new session."""
        rows = []
        for label_s in self.budgets:
            decode = self._ridge(session, label_s)
            rows += self._score("ridge", OWN_LABELS, session, decode, label_s)
        for method, trained in self.trained.items():
            decode = self._as_it_is(trained, session)
            rows += self._score(method, NO_LABELS, session, decode, 0.0)
            for mode in MODES:
                for label_s in self.budgets:
                    decode = self._calibrated(method, session, mode, label_s)
                    rows += self._score(method, variant_of(mode), session, decode, label_s)
        return rows

    def _trained(self, method: str) -> StudentDecoder:
        decode = ALL_METHODS[method](self.experiment)
        assert isinstance(decode, StudentDecoder), method
        return decode

    def _score(
        self,
        method: str,
        variant: str,
        session: PreparedSession,
        decode: Decode,
        label_s: LabelBudget,
    ) -> list[BenchmarkRow]:
        rows = score_session(method, session, decode(session), self.job.seed, label_s)
        return of_part("transfer", variant, rows)

    def _ridge(self, session: PreparedSession, label_s: LabelBudget) -> Decode:
        budget = {} if label_s == "all" else {session.session_id: float(label_s)}
        return ALL_METHODS["ridge"](self.experiment._replace(label_s=budget))

    def _as_it_is(self, trained: StudentDecoder, session: PreparedSession) -> StudentDecoder:
        """Without calibration: of the new session, only the statistics of its features are used."""
        student = copy.deepcopy(trained.student)
        scales = behavior_scales([*self.job.sessions, session], {session.session_id: 0.0})
        add_session(student, session, scales[session.session_id])
        return StudentDecoder(student, 0.0, trained.config)

    def _calibrated(
        self, method: str, session: PreparedSession, mode: Mode, label_s: LabelBudget
    ) -> StudentDecoder:
        """The decoder after calibration; its CPU seconds are those of the calibration."""
        name = f"{method}-{label_s if label_s == 'all' else f'{label_s:g}s'}-{mode}"
        title = f"seed {self.job.seed} {session.session_id} {name}"
        self.job.progress.say(title)
        calibrate = self.job.recipe.calibrate.model_copy(update={"train": mode})
        recipe = self.job.recipe.model_copy(update={"calibrate": calibrate})
        trained = self.trained[method]
        student = copy.deepcopy(trained.student)
        result = calibrate_student(
            student,
            session,
            recipe,
            trained.config,
            self.job.folder / "calibrated" / session.session_id / name,
            label_s=None if label_s == "all" else float(label_s),
            seed=self.job.seed,
            fingerprint=self._fingerprint(method, session, recipe),
            report=self.job.progress.training(title, calibrate.optimization.steps),
        )
        return StudentDecoder(student, result.cpu_s, trained.config)

    def _fingerprint(self, method: str, session: PreparedSession, recipe: Recipe) -> str:
        trained = self.job.fingerprint(*STUDENT_PARTS) + self.experiment.fingerprint_of(method)
        facts = {"trained": trained, "calibrate": recipe.fingerprint("calibrate")}
        return sha256_json(facts | {"session": fingerprint(session)})


def variant_of(mode: Mode) -> str:
    """What a calibration trained, for people."""
    return mode.replace("_", " ")
