"""New sessions from seconds of labels: one seed of everything that competes there.

Teachers and students are trained without any label, on sessions that are not the new one. Then
every method gets the first seconds of labels of the new session and nothing else of its behavior:
penalties, steps and readouts are chosen inside these labels. Test time is decoded once, as one
stream.

Names of methods, beside those of `realm.methods.registry` which are trained on the new session
alone:

    untrained             the student's network as it was drawn, read out by ridge
    causal_mae            the student's network, pretrained like the teacher, without a teacher
    published_teacher     the objective of the published system in our teacher
    published_student     its student, by cosine and reconstruction
    teacher_probe         our teacher, read out by ridge; it sees the future
    transformer_mae_probe the masked Transformer, read out by ridge; it sees the future
    student_frozen        our student, read out by ridge
    student_frozen_lags   the same, with the latents of the last 200 ms
    student_tuned         our student and its readout, trained on the labels
    student_joint         the same, held to the teacher on the signal of all sessions
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realm.benchmark.label_free import Networks, label_free, published_objective
from realm.benchmark.part import BenchmarkRow, of_part, read_rows, write_rows
from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.decoder.calibration import add_session, choose_readout, window_source
from realm.evaluation.results import LabelBudget
from realm.files import read_json, sha256_json, write_json
from realm.methods.experiment import (
    TIMED_BINS,
    Decoding,
    Experiment,
    deployed_parameters,
    us_per_bin,
)
from realm.methods.lags import Lags
from realm.methods.masked_transformer import encode_recording
from realm.methods.networks import StudentDecoder
from realm.methods.protocol import score_session
from realm.methods.registry import METHODS
from realm.nn.student import Student
from realm.progress import Progress
from realm.recipe import Recipe
from realm.stages import fingerprint
from realm.training.build import behavior_scales, session_info
from realm.training.distill import DistillObjective
from realm.training.frozen import (
    fit_to_session,
    inside_labels,
    lag_bins,
    lagged,
    latents_of,
    set_head,
)
from realm.training.latents import LatentCache, encode_session
from realm.training.loop import train

PART = "heldout"
UNSEEN, SIGNAL_SEEN = "unseen", "signal_seen"
ON_ITS_OWN = ("kalman", "gru", "lstm", "transformer_causal", "scratch")  # and ridge
RECIPE_PARTS = ("signal", "data", "pretrain", "distill", "calibrate", "baselines", "benchmark")


NAMES = (
    *("ridge", *ON_ITS_OWN, "untrained", "causal_mae", "published_student", "published_teacher"),
    *("teacher_probe", "transformer_mae_probe", "student_frozen", "student_frozen_lags"),
    *("student_tuned", "student_joint"),
)


class Split(NamedTuple):
    """Sessions of one variant: what the label-free networks read, and what is then decoded."""

    variant: str
    seen: tuple[str, ...]
    new: tuple[str, ...]


def splits_of(by_subject: Mapping[str, Sequence[str]], held_out: int) -> list[Split]:
    """The variants that these sessions allow.

    The last `held_out` sessions of every subject are new, as long as one is left; a subject with
    a single session can only be new in its labels.
    """
    new: list[str] = []
    seen: list[str] = []
    single: list[str] = []
    for sessions in by_subject.values():
        if len(sessions) == 1:
            single.append(sessions[0])
            continue
        first = max(1, len(sessions) - held_out)
        seen += sessions[:first]
        new += sessions[first:]
    every = tuple(sorted([*seen, *new, *single]))
    found = [Split(SIGNAL_SEEN, every, (*new, *single))]
    return [Split(UNSEEN, tuple(sorted([*seen, *single])), tuple(new)), *found] if new else found


def held_out_seed(
    recipe: Recipe,
    prepared: Sequence[Path],
    splits: Sequence[Split],
    out: Path,
    seed: int,
    progress: Progress,
) -> list[BenchmarkRow]:
    """The rows of one seed, or those found in `out`."""
    sessions = {s.session_id: s for s in map(PreparedSession.load, prepared)}
    folder = out / f"seed{seed}"
    done, found = folder / "heldout.json", folder / "heldout.csv"
    data = sha256_json([fingerprint(session) for session in sessions.values()])
    wanted = recipe.fingerprint(*RECIPE_PARTS, data_hash=data, seed=seed)
    if done.exists() and read_json(done)["fingerprint"] == wanted:
        return read_rows(found)
    alone = Alone(recipe, folder / "alone", seed, progress)
    rows: list[BenchmarkRow] = []
    competing = recipe.benchmark.held_out_methods or NAMES
    budgets: tuple[LabelBudget, ...] = (*recipe.benchmark.held_out_label_s, "all")
    for split in splits:
        seen = tuple(sessions[name].without_behavior() for name in split.seen)
        contest = Contest(recipe, seen, folder / split.variant, seed, progress)
        for name in split.new:
            for label_s in budgets:
                for method, decode in [
                    *alone.decoders(sessions[name], label_s),
                    *contest.decoders(sessions[name], label_s),
                ]:
                    if method not in competing:
                        continue
                    scored = score_session(method, sessions[name], decode(), seed, label_s)
                    rows += of_part(PART, split.variant, scored)
    write_rows(rows, found)
    write_json(done, {"fingerprint": wanted})
    return rows


Entries = Iterator[tuple[str, Callable[[], Decoding]]]


class Alone:
    """Methods that are trained on the labels of the new session alone."""

    def __init__(self, recipe: Recipe, folder: Path, seed: int, progress: Progress) -> None:
        self.recipe, self.folder, self.seed, self.progress = recipe, folder, seed, progress
        self._known: dict[tuple[str, str, LabelBudget], Decoding] = {}

    def decoders(self, session: PreparedSession, label_s: LabelBudget) -> Entries:
        """Every method and what it decodes; each is trained once, whatever the variant."""
        for method in ("ridge", *ON_ITS_OWN):
            yield method, partial(self._once, method, session, label_s)

    def _once(self, method: str, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        key = (method, session.session_id, label_s)
        if key not in self._known:
            if method == "ridge":
                self._known[key] = self._ridge(session, label_s)
            else:
                self._known[key] = self._trained(method, session, label_s)
        return self._known[key]

    def _ridge(self, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        """Ridge on lagged features, its penalty chosen as that of every frozen readout."""
        features = session.features(0, session.n_bins).reshape(session.n_bins, -1)
        lag_s = self.recipe.baselines.ridge.lag_s  # type: ignore[attr-defined]
        taps = Lags.spread(
            max(1, round(lag_s * 1000 / session.bin_ms)), features.shape[1], max_columns=2000
        )
        columns = np.concatenate([part for _, part in taps.blocks(features, 0, len(features))])
        begun = time.process_time()
        readout = fit_to_session(columns, session, seconds(label_s))
        cpu_s = time.process_time() - begun
        cost = us_per_bin((), columns, lambda x, state: (readout(x), state))
        return Decoding(readout(columns), readout.weight.size + len(readout.bias), cpu_s, cost, 0.0)

    def _trained(self, method: str, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        view = inside_labels(session, seconds(label_s))
        config = self.recipe.distill
        optimization = self.recipe.calibrate.optimization.model_copy(
            update={"learning_rate": config.optimization.learning_rate}
        )
        folder = self.folder / session.session_id / budget_name(label_s)
        experiment = Experiment(
            [view],
            window_source([view], self.recipe, optimization.batch_size, self.seed),
            {},
            None,  # type: ignore[arg-type]  # none of these methods has a teacher
            0.0,
            None,  # type: ignore[arg-type]
            0.0,
            config.model_copy(update={"optimization": optimization}),
            self.recipe.baselines,
            self.seed,
            folder,
            fingerprint_of(self.recipe, session, label_s, self.seed),
        )
        self.progress.say(f"seed {self.seed} {session.session_id} {label_s}: {method}")
        return METHODS[method](experiment)(view)


class Contest:
    """Methods that read the signal of the seen sessions without labels, for one seed."""

    def __init__(
        self,
        recipe: Recipe,
        seen: tuple[PreparedSession, ...],
        folder: Path,
        seed: int,
        progress: Progress,
    ) -> None:
        self.recipe, self.seed, self.progress, self.folder = recipe, seed, progress, folder
        free = label_free(recipe)
        self.ours = Networks(free, seen, folder / "ours", seed, progress)
        self.published = Networks(
            published_objective(free), seen, folder / "published", seed, progress
        )
        self._columns: dict[tuple[str, str], tuple[NDArray[Any], float]] = {}
        self._latents: LatentCache = {}  # of our teacher

    def decoders(self, session: PreparedSession, label_s: LabelBudget) -> Entries:
        """Every method and what it decodes with these labels of a new session."""
        causal: dict[str, Callable[[], tuple[Student, float]]] = {
            "untrained": lambda: (self.ours.untrained(), 0.0),
            "causal_mae": lambda: self.ours.causal_mae,
            "published_student": lambda: self.published.student,
            "student_frozen": lambda: self.ours.student,
        }
        for method, made in causal.items():
            yield method, partial(self._frozen, method, made, session, label_s, ())
        lags = lag_bins(session.bin_ms)
        yield (
            "student_frozen_lags",
            partial(
                self._frozen, "student_frozen", causal["student_frozen"], session, label_s, lags
            ),
        )
        for method, networks in (
            ("published_teacher", self.published),
            ("teacher_probe", self.ours),
        ):
            yield method, partial(self._probe, method, networks, session, label_s)
        yield "transformer_mae_probe", partial(self._transformer, session, label_s)
        yield "student_tuned", partial(self._tuned, session, label_s)
        yield "student_joint", partial(self._joint, session, label_s)

    def _frozen(
        self,
        method: str,
        made: Callable[[], tuple[Student, float]],
        session: PreparedSession,
        label_s: LabelBudget,
        lags: Sequence[int],
    ) -> Decoding:
        student, _ = made()
        student = knowing(student, session, 0.0)
        latents, _ = self._read(method, session, lambda: latents_of(student, session))
        begun = time.process_time()
        columns = lagged(latents, lags)
        readout = fit_to_session(columns, session, seconds(label_s))
        fitting = time.process_time() - begun
        some = session.features(0, min(session.n_bins, TIMED_BINS))

        def step(features: NDArray[Any], state: Any) -> Any:
            with torch.no_grad():
                output, state = student.step(
                    torch.from_numpy(features)[None], state, session.session_id
                )
            row = output.latent[0].numpy()
            return readout(np.tile(row, (1, 1 + len(lags)))), state

        cost = us_per_bin(student.initial_state(1), some, step)
        own = deployed_parameters(student, session.session_id)
        own -= sum(p.numel() for p in student.head.parameters())
        parameters = own + readout.weight.size + len(readout.bias)
        return Decoding(readout(columns), parameters, fitting, cost, 0.0)

    def _probe(
        self, method: str, networks: Networks, session: PreparedSession, label_s: LabelBudget
    ) -> Decoding:
        teacher, _ = networks.teacher
        known = copy.deepcopy(teacher)
        if session.session_id not in {info.session_id for info in known.sessions}:
            known.add_session(session_info(session))
        latents, us = self._read(method, session, lambda: encode_session(known, session))
        own = deployed_parameters(known, session.session_id)
        return self._probed(latents, us, own, session, label_s)

    def _transformer(self, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        network = copy.deepcopy(self.ours.transformer[0])
        if session.session_id not in network.sessions:
            network.add_session(session_info(session))
        latents, us = self._read(
            "transformer_mae_probe", session, lambda: encode_recording(network, session)
        )
        own = [*network.encoder.parameters(), *network.session_parameters(session.session_id)]
        return self._probed(latents, us, sum(p.numel() for p in own), session, label_s)

    def _probed(
        self,
        latents: NDArray[Any],
        us: float,
        parameters: int,
        session: PreparedSession,
        label_s: LabelBudget,
    ) -> Decoding:
        begun = time.process_time()
        readout = fit_to_session(latents, session, seconds(label_s))
        cpu_s = time.process_time() - begun
        parameters += readout.weight.size + len(readout.bias)
        return Decoding(readout(latents), parameters, cpu_s, us, math.inf)

    def _read(
        self, method: str, session: PreparedSession, read: Callable[[], NDArray[Any]]
    ) -> tuple[NDArray[Any], float]:
        """Latents of a session, read once for all budgets, and microseconds per bin."""
        key = (method, session.session_id)
        if key not in self._columns:
            begun = time.perf_counter()
            latents = read()
            us = (time.perf_counter() - begun) / session.n_bins * 1e6
            self._columns[key] = latents, us
        return self._columns[key]

    def _tuned(self, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        """As `realm calibrate` does: everything moves, or nothing where that is no better."""
        student = knowing(self.ours.student[0], session, seconds(label_s))
        self.progress.say(f"seed {self.seed} {session.session_id} {label_s}: student_tuned")
        changes = {"readout": "choose", "train": "everything"}
        calibrate = self.recipe.calibrate.model_copy(update=changes)
        choice = choose_readout(
            student,
            session,
            self.recipe.model_copy(update={"calibrate": calibrate}),
            self.recipe.distill,
            self.folder / "student_tuned" / session.session_id / budget_name(label_s),
            label_s=seconds(label_s),
            seed=self.seed,
            fingerprint=fingerprint_of(self.recipe, session, label_s, self.seed),
        )
        return StudentDecoder(student, choice.cpu_s, self.recipe.distill)(session)

    def _joint(self, session: PreparedSession, label_s: LabelBudget) -> Decoding:
        """As tuned, while the student is held to the teacher on the signal of all sessions."""
        view = inside_labels(session, seconds(label_s))
        student = knowing(self.ours.student[0], session, seconds(label_s))
        latents, _ = self._read("student_frozen", session, lambda: latents_of(student, session))
        frozen = copy.deepcopy(student)
        set_head(frozen, session.session_id, fit_to_session(latents, session, seconds(label_s)))
        set_head(student, session.session_id, fit_to_session(latents, view, None))
        others = [s for s in self.ours.sessions if s.session_id != session.session_id]
        teacher = copy.deepcopy(self.ours.teacher[0])
        if session.session_id not in {info.session_id for info in teacher.sessions}:
            teacher.add_session(session_info(session))
        weights = {"weight": JOINT_WEIGHT, "weight_unlabelled": None, "kind": "mse"}
        changes = {
            "task_weight": 1.0,
            "reconstruction_weight": 0.0,
            "optimization": self.recipe.calibrate.optimization,
            "alignment": self.recipe.distill.alignment.model_copy(update=weights),
        }
        config = self.recipe.distill.model_copy(update=changes)
        batch = config.optimization.batch_size
        source = Side(
            window_source([view], self.recipe, batch, self.seed),
            window_source(others, self.recipe, batch, self.seed) if others else None,
        )
        objective = DistillObjective(
            student,
            teacher,
            config,
            self.seed,
            [view, *others],
            scored=[view],
            cache=self._latents,
        )
        student.eval()
        with torch.no_grad():
            before = objective.validate()["score"]
        self.progress.say(f"seed {self.seed} {session.session_id} {label_s}: student_joint")
        result = train(
            objective,
            source,
            config.optimization,
            self.folder / "student_joint" / session.session_id / budget_name(label_s),
            fingerprint=fingerprint_of(self.recipe, session, label_s, self.seed),
        )
        chosen = student if result.best_score > before else frozen
        return StudentDecoder(chosen, result.cpu_s, config)(session)


class Side:
    """Batches from two sources side by side; the second one may be missing."""

    def __init__(self, first: WindowSource, second: WindowSource | None) -> None:
        self.first, self.second = first, second

    def batch(self, step: int, rank: int = 0, world: int = 1) -> list[Windows]:
        """The windows of both, numbered through."""
        found = self.first.batch(step, rank, world)
        if self.second is None:
            return found
        size = self.first.batch_size
        return found + [
            w._replace(index=w.index + size) for w in self.second.batch(step, rank, world)
        ]


JOINT_WEIGHT = 0.5  # of the alignment beside the task


def knowing(student: Student, session: PreparedSession, label_s: float | None) -> Student:
    """A copy of the student that knows the new session, and the scale of its labelled behavior."""
    student = copy.deepcopy(student)
    budget = {} if label_s is None else {session.session_id: label_s}
    scale = behavior_scales([session], budget)[session.session_id]
    if session.session_id in {info.session_id for info in student.sessions}:
        student.set_behavior_scale(session.session_id, *scale)
    else:
        add_session(student, session, scale)
    return student


def seconds(label_s: LabelBudget) -> float | None:
    """The budget as readouts take it."""
    return None if label_s == "all" else float(label_s)


def budget_name(label_s: LabelBudget) -> str:
    """The budget in names of folders."""
    return "all" if label_s == "all" else f"{label_s:g}s"


def fingerprint_of(
    recipe: Recipe, session: PreparedSession, label_s: LabelBudget, seed: int
) -> str:
    """What a training on a new session depends on."""
    facts = {"session": fingerprint(session), "labels": str(label_s), "seed": seed}
    return sha256_json(facts | {"recipe": recipe.fingerprint(*RECIPE_PARTS)})
