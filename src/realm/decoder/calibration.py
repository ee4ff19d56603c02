"""Calibrating a saved decoder to a recording of a new session: `realm calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.decoder.decoder import Decoder
from realm.files import make_folder, sha256_json
from realm.nn.student import Student
from realm.progress import Progress, Report, silent
from realm.recipe import Recipe, parse_recipe, with_overrides
from realm.stages import fingerprint
from realm.training.build import behavior_scales, session_info
from realm.training.config import DistillConfig
from realm.training.distill import calibrate
from realm.training.loop import TrainingResult


class Calibration(NamedTuple):
    """What a calibration reached: R² on the new session's validation time, NaN if undefined."""

    session_id: str
    validation_r2: float
    cpu_s: float


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

    What the decoder says of its other sessions does not change when only the adapter moves; the
    head is shared, so they drift a little when it moves too.

    Raises:
        ValueError: the recording does not fit the decoder, or is a session it already has.
    """
    progress = progress or silent()
    _check_overrides(overrides)
    decoder = Decoder.from_pretrained(str(model))
    recipe = parse_recipe(with_overrides(decoder.fitted_recipe.resolved(), overrides), str(model))
    out = make_folder(out)
    path = prepare_session(Path(file), out / "prepared", recipe.signal, recipe.data)
    session = PreparedSession.load(path)
    _check_fits(decoder, session, Path(file))
    facts = {"label_s": label_s, "seed": seed, "session": fingerprint(session), "model": str(model)}
    result = calibrate_student(
        decoder.student_,
        session,
        recipe,
        recipe.distill,
        out / "calibration",
        label_s=label_s,
        seed=seed,
        fingerprint=sha256_json(facts | {"recipe": recipe.resolved()}),
        report=progress.training(session.session_id, recipe.calibrate.optimization.steps),
    )
    decoder.chains_[session.session_id] = session.chain
    decoder.save_pretrained(out)
    return Calibration(session.session_id, result.best_score, result.cpu_s)


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
    """Add a session to a student and calibrate it, in place, as `recipe.calibrate` says.

    `distilled` is what the student was trained with; `label_s` seconds of the session's labels are
    used, None for all.
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


def _check_overrides(overrides: Sequence[str]) -> None:
    """Only the calibration may differ from what the decoder was trained with."""
    for override in overrides:
        if not override.startswith("calibrate."):
            raise ValueError(
                f"--set {override}: expected a key of calibrate, such as "
                "calibrate.optimization.steps=200; all else is as the decoder was trained"
            )


def _check_fits(decoder: Decoder, session: PreparedSession, file: Path) -> None:
    if session.session_id in decoder.sessions_:
        raise ValueError(
            f"{file}: expected a session that the decoder does not have, but it knows "
            f"{session.session_id!r}; decode it with realm decode"
        )
    bands = decoder.chains_[decoder.sessions_[0]].band_names
    if session.band_names != bands:
        raise ValueError(
            f"{file}: expected the bands {', '.join(bands)} as in the decoder, its sampling rate "
            f"gives {', '.join(session.band_names)}; give a recording of a higher rate"
        )
    if tuple(session.behavior_names) != decoder.behavior_names_:
        raise ValueError(
            f"{file}: expected behavior {', '.join(decoder.behavior_names_)} as in the decoder, "
            f"found {', '.join(session.behavior_names)}; give the same behavior"
        )
