"""Calibrating a saved decoder to a recording of a new session: `realm calibrate`."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.decoder.decoder import Decoder
from realm.files import make_folder, sha256_json
from realm.nn.student import Student
from realm.progress import Progress, Report, silent
from realm.recipe import Recipe, parse_recipe, with_overrides
from realm.signal.binning import lookahead_bins
from realm.stages import fingerprint
from realm.training.build import behavior_scales, session_info
from realm.training.config import DistillConfig
from realm.training.decode import decode_stream, validation_score
from realm.training.distill import calibrate
from realm.training.frozen import (
    fit_to_session,
    inside_labels,
    labelled_bins,
    latents_of,
    set_head,
)
from realm.training.loop import TrainingResult

Source = Literal["frozen", "trained", "other sessions"]
BEHAVIOR_KEYS = ("data.behavior", "data.target", "data.smoothing_s")


class Choice(NamedTuple):
    """The readout of a new session, and why it is this one.

    Attributes:
        readout: other sessions (the head as it was), frozen (a new head, in closed form) or
            trained.
        tried: R² of each on the last fifth of the given labels, when it had the rest; NaN where
            behavior does not vary. Empty where there was no choice.
        cpu_s: CPU seconds of all that was tried.
    """

    readout: Source
    tried: dict[str, float]
    cpu_s: float

    @property
    def reason(self) -> str:
        """One sentence."""
        if not self.tried and self.readout == "other sessions":
            return "no labels were given, so the head of the other sessions decodes"
        if not self.tried:
            return f"the {self.readout} readout was asked for"
        figures = ", ".join(f"{name} {r2:.3f}" for name, r2 in self.tried.items())
        return f"R² on the last fifth of the labels: {figures}"


class Calibration(NamedTuple):
    """What a calibration reached.

    Attributes:
        session_id: of the new session.
        validation_r2: R² on its validation time, which chose nothing; NaN if undefined.
        cpu_s: CPU seconds of the readouts, without preparing the recording.
        readout, tried, reason: see `Choice`.
    """

    session_id: str
    validation_r2: float
    cpu_s: float
    readout: Source
    tried: dict[str, float]
    reason: str


def calibrate_decoder(
    file: Path | str,
    model: Path | str,
    out: Path | str,
    *,
    label_s: float | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Add the session of `file` to the decoder in `model` and save the result in `out`.

    Of its behavior only the first `label_s` seconds of training time are used, None for all of
    it; with 0, or where none is known, the head of the other sessions decodes. The head belongs to
    all sessions of a decoder: what it says of the earlier ones changes with it.

    Raises:
        ValueError: the recording does not fit the decoder, or is a session it already has.
    """
    progress = progress or silent()
    decoder = Decoder.from_pretrained(str(model))
    _check_overrides(overrides, decoder.fitted_recipe)
    recipe = parse_recipe(with_overrides(decoder.fitted_recipe.resolved(), overrides), str(model))
    out = make_folder(out)
    path = prepare_session(Path(file), out / "prepared", recipe.signal, recipe.data)
    session = PreparedSession.load(path)
    _check_fits(decoder, session, Path(file))
    if not decoder.behavior_names_:
        if not len(labelled_bins(session, label_s)):
            raise ValueError(
                f"{file}: expected labels, because the decoder was trained without any behavior "
                "and has no head yet, got none; give some seconds of labels"
            )
        _give_head(decoder, session)
        decoder.recipe = decoder.recipe_ = recipe
    facts = {"label_s": label_s, "seed": seed, "session": fingerprint(session), "model": str(model)}
    student = decoder.student_
    budget = {} if label_s is None else {session.session_id: label_s}
    add_session(student, session, behavior_scales([session], budget)[session.session_id])
    choice = choose_readout(
        student,
        session,
        recipe,
        recipe.distill,
        out / "calibration",
        label_s=label_s,
        seed=seed,
        fingerprint=sha256_json(facts | {"recipe": recipe.resolved()}),
        report=progress.training(session.session_id, recipe.calibrate.optimization.steps),
    )
    if choice.readout == "other sessions" and decoder.sessions_:
        _borrow_scale(decoder, session)
    decoder.chains_[session.session_id] = session.chain
    decoder.save_pretrained(out)
    reached = _validation_r2(student, session, recipe.distill)
    return Calibration(
        session.session_id, reached, choice.cpu_s, choice.readout, choice.tried, choice.reason
    )


def choose_readout(
    student: Student,
    session: PreparedSession,
    recipe: Recipe,
    distilled: DistillConfig,
    folder: Path,
    *,
    label_s: float | None,
    seed: int,
    fingerprint: str,
    report: Report | None = None,
) -> Choice:
    """Give a student that knows the session a readout of its labels, as `calibrate.readout` says.

    The student is changed in place. Nothing but the first `label_s` of the labels is read. The
    head it has, a new one in closed form and a trained student are compared on the last fifth of
    them; a new head is then fitted to all of them.

    Raises:
        ValueError: too few labels for the readout that was asked for.
    """
    begun = time.process_time()
    if not len(labelled_bins(session, label_s)):
        return Choice("other sessions", {}, 0.0)
    late = lookahead_bins(distilled.lookahead_ms, session.bin_ms)
    last = int(labelled_bins(session, label_s)[-1])
    latents = latents_of(student, session, min(session.n_bins, last + 1 + late))
    frozen = copy.deepcopy(student)
    set_head(frozen, session.session_id, fit_to_session(latents, session, label_s, late))
    if recipe.calibrate.readout == "frozen":
        student.load_state_dict(frozen.state_dict())
        return Choice("frozen", {}, time.process_time() - begun)
    view = inside_labels(session, label_s)
    tried = {"other sessions": _validation_r2(student, view, distilled)}
    as_it_was = copy.deepcopy(student)
    set_head(student, session.session_id, fit_to_session(latents, view, None, late))
    tried["frozen"] = _validation_r2(student, view, distilled)
    untrained: tuple[Source, Student] = ("frozen", frozen)
    if tried["other sessions"] > tried["frozen"]:
        untrained = ("other sessions", as_it_was)
        student.load_state_dict(as_it_was.state_dict())
    result = calibrate(
        student,
        view,
        window_source([view], recipe, recipe.calibrate.optimization.batch_size, seed),
        recipe.calibrate,
        distilled,
        folder,
        seed=seed,
        fingerprint=fingerprint,
        report=report,
    )
    cpu_s = time.process_time() - begun
    if result.best_step == 0:  # no step of the training was better
        student.load_state_dict(untrained[1].state_dict())
        return Choice(untrained[0], tried, cpu_s)
    return Choice("trained", tried | {"trained": result.best_score}, cpu_s)


def window_source(
    sessions: Sequence[PreparedSession], recipe: Recipe, batch_size: int, seed: int
) -> WindowSource:
    """Training windows of these sessions; shorter ones where the labels are."""
    bins = round(recipe.data.window_s * 1000 / sessions[0].bin_ms)
    longest = min(stop - start for start, stop in (s.splits["train"] for s in sessions))
    return WindowSource(sessions, window_bins=min(bins, longest), batch_size=batch_size, seed=seed)


def calibrate_student(
    student: Student,
    session: PreparedSession,
    recipe: Recipe,
    distilled: DistillConfig,
    folder: Path,
    *,
    label_s: float | None,
    seed: int,
    fingerprint: str,
    report: Report | None = None,
) -> TrainingResult:
    """Add a session to a student and train it there, in place, as `recipe.calibrate` says.

    Validation time decides when to stop, and its labels are read beside the `label_s` seconds of
    training time (None for all). `distilled` is what the student was trained with.
    """
    budget = {} if label_s is None else {session.session_id: label_s}
    add_session(student, session, behavior_scales([session], budget)[session.session_id])
    source = WindowSource(
        [session],
        window_bins=round(recipe.data.window_s * 1000 / session.bin_ms),
        batch_size=recipe.calibrate.optimization.batch_size,
        seed=seed,
        label_s=budget,
        labelled_only=True,
    )
    return calibrate(
        student,
        session,
        source,
        recipe.calibrate,
        distilled,
        folder,
        seed=seed,
        fingerprint=fingerprint,
        report=report,
    )


def add_session(student: Student, session: PreparedSession, scale: tuple[Tensor, Tensor]) -> None:
    """Add a session with mean and standard deviation (dims,) of its behavior.

    Until it is calibrated, its adapter is the map that its subject's other sessions share.
    """
    student.add_session(session_info(session))
    student.set_behavior_scale(session.session_id, *scale)


def _validation_r2(student: Student, session: PreparedSession, distilled: DistillConfig) -> float:
    """R² of a stream over the session's validation span; NaN if undefined."""
    late = lookahead_bins(distilled.lookahead_ms, session.bin_ms)
    start, stop = session.splits["validation"]
    if not session.behavior(start, stop)[1].any():
        return math.nan
    decoded = decode_stream(student.eval(), session, 0, stop, late)
    return validation_score([session], lambda _: decoded[start:]).get("r2", math.nan)


def _give_head(decoder: Decoder, session: PreparedSession) -> None:
    """A new head for a student that was trained without any behavior."""
    decoder.student_.new_head(len(session.behavior_names))
    decoder.behavior_names_ = tuple(session.behavior_names)
    decoder.behavior_unit_ = session.behavior_unit


def _borrow_scale(decoder: Decoder, session: PreparedSession) -> None:
    """The mean scale of behavior of the subject's other sessions, or of all others."""
    head, adapters = decoder.student_.head, decoder.student_.adapters
    infos = [adapters.session(name) for name in decoder.sessions_]
    same = [i for i in infos if i.subject == session.subject] or infos
    scales = np.stack([head.scale(info.session_id).detach().cpu().numpy() for info in same])
    mean, std = (Tensor(side) for side in scales.mean(axis=0))
    decoder.student_.set_behavior_scale(session.session_id, mean, std)


def _check_overrides(overrides: Sequence[str], trained: Recipe) -> None:
    """Only the calibration may differ, and the behavior where the decoder has none."""
    keys: tuple[str, ...] = BEHAVIOR_KEYS if trained.data.behavior is None else ()
    for override in overrides:
        key = override.partition("=")[0]
        if not key.startswith("calibrate.") and key not in keys:
            raise ValueError(
                f"--set {override}: expected a key of calibrate, such as "
                "calibrate.optimization.steps=200; all else is as the decoder was trained"
            )
    if keys and not any(override.startswith("data.behavior=") for override in overrides):
        raise ValueError(
            "expected the behavior that is to be decoded, because the decoder was trained without "
            "any, got none; give its path with --set data.behavior=PATH"
        )


def _check_fits(decoder: Decoder, session: PreparedSession, file: Path) -> None:
    if session.session_id in decoder.sessions_:
        raise ValueError(
            f"{file}: expected a session that the decoder does not have, but it knows "
            f"{session.session_id!r}; decode it with realm decode"
        )
    known = list(decoder.chains_.values())  # none, where weights were imported
    bands = known[0].band_names if known else session.band_names
    if session.band_names != bands:
        raise ValueError(
            f"{file}: expected the bands {', '.join(bands)} as in the decoder, its sampling rate "
            f"gives {', '.join(session.band_names)}; give a recording of a higher rate"
        )
    expected = decoder.behavior_names_
    if expected and tuple(session.behavior_names) != expected:
        raise ValueError(
            f"{file}: expected behavior {', '.join(decoder.behavior_names_)} as in the decoder, "
            f"found {', '.join(session.behavior_names)}; give the same behavior"
        )
