"""Distilling the teacher: the causal student learns the teacher's latents, and the task if asked.

The teacher reads the whole, unmasked window, future included; the student reads it bin by bin and
is asked, through a projection, for the same latents. With task weight 0 no label is read, and the
alignment on validation time decides when to stop. With alignment weight 0 this is the student
trained from scratch, and with another causal encoder in it, a baseline.

Calibrating to a session that the student has not seen is the same training without a teacher:
minutes of labelled signal are enough when only the session's adapter and the head move.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.nn.adapters import SessionReadout
from realm.nn.losses import AlignmentHead, LossInput, alignment, task_loss
from realm.nn.student import Student, StudentOutput
from realm.nn.teacher import AnyTeacher, TeacherEnsemble
from realm.progress import Report
from realm.signal.binning import lookahead_bins
from realm.training.augment import augment
from realm.training.config import CalibrateConfig, DistillConfig
from realm.training.decode import (
    read_out,
    require_validation_labels,
    stream_latents,
    validation_score,
)
from realm.training.latents import LatentCache, TeacherLatents
from realm.training.loop import Term, TrainingResult, further_terms, train
from realm.training.pretrain import mean_errors
from realm.training.readout import refit_readout

WARM_UP_S = 10.0  # the stream starts this long before the validation span
VALIDATION_BATCHES = 4  # that decide when to stop where no label is read


class DistillModule(nn.Module):
    """The student and what it has while it is trained: a projection into the teacher's space, and
    a readout of the features where these are reconstructed.
    """

    def __init__(
        self, student: Student, teacher: AnyTeacher | None, reconstructs: bool = False
    ) -> None:
        super().__init__()
        self.student = student
        self.projection = (
            None if teacher is None else AlignmentHead(student.d_model, teacher.d_model)
        )
        self.readout = (
            SessionReadout(student.d_model, student.adapters.n_bands, student.sessions)
            if reconstructs
            else None
        )


class DistillObjective:
    """Task loss where behavior is known, plus alignment everywhere.

    `validation` holds the windows that decide when to stop where no label is read, `scored` the
    sessions whose labels do where they are; all by default. `cache` keeps the teacher's latents.

    Raises:
        ValueError: there is nothing to learn from: no label is read and there is no teacher.
    """

    module: DistillModule

    def __init__(
        self,
        student: Student,
        teacher: AnyTeacher | None,
        config: DistillConfig,
        seed: int,
        sessions: Sequence[PreparedSession],
        validation: Sequence[list[Windows]] = (),
        scored: Sequence[PreparedSession] | None = None,
        cache: LatentCache | None = None,
    ) -> None:
        self.cache = cache
        self.scored = sessions if scored is None else scored
        self.teacher = teacher if max(config.alignment.weights) > 0 else None
        self.module = DistillModule(student, self.teacher, config.reconstruction_weight > 0)
        self.latents: TeacherLatents | None = None
        self.validation_latents: TeacherLatents | None = None
        self.validation = validation
        self.config, self.seed, self.sessions = config, seed, sessions
        self.lookahead = lookahead_bins(config.lookahead_ms, sessions[0].bin_ms)
        self.label_free = config.task_weight == 0
        if not self.label_free:
            require_validation_labels(self.scored)
        elif self.teacher is None:
            raise ValueError(
                "distill.task_weight: expected a weight above 0 where there is no teacher to align "
                "to, got 0, so nothing would be learned; raise it, or give distill.alignment a "
                "weight"
            )

    def begin(self) -> None:
        """Let the teacher read the training time of all sessions, once."""
        if self.teacher is not None and self.module.projection is not None:
            self.latents = TeacherLatents(self.teacher, self.sessions, cache=self.cache)
            self.module.projection.set_teacher_scale(self.latents.all())
            if self.label_free:
                self.validation_latents = TeacherLatents(self.teacher, self.sessions, "validation")

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """The parts of the combined loss on one batch."""
        noisy = augment(windows, self.config.augmentation, self.seed, step)
        output = self.module.student(noisy)
        terms = [] if self.label_free else [self._task(output, windows)]
        if self.latents is not None:
            terms.append(self._alignment(output, windows, self.latents))
        if self.module.readout is not None:
            terms.append(self._reconstruction(output, windows))
        return terms + self._further(output, windows)

    def _further(self, output: StudentOutput, windows: Sequence[Windows]) -> list[Term]:
        """The losses that the recipe adds by name."""
        if not self.config.losses:
            return []
        late, early = self.lookahead, output.latent.shape[1] - self.lookahead
        target = known = teacher = None
        if not self.label_free:
            behavior, mask = self.module.student.targets(windows)
            target, known = behavior[:, :early], mask[:, :early]
        if self.latents is not None and self.module.projection is not None:
            teacher = self.module.projection.target(self.latents.of(windows)[:, :early])
        latent, decoded = output.latent[:, late:], output.behavior[:, late:]
        given = LossInput(windows, latent, decoded, target, known, teacher=teacher)
        return further_terms(self.config.losses, given)

    def _task(self, output: StudentOutput, windows: Sequence[Windows]) -> Term:
        """Squared error of the behavior, where it is known."""
        behavior, known = self.module.student.targets(windows)  # (batch, time, dims)
        late, early = self.lookahead, behavior.shape[1] - self.lookahead
        loss = task_loss(output.behavior[:, late:], behavior[:, :early], known[:, :early])
        return Term("task", self.config.task_weight, *loss)

    def _alignment(
        self, output: StudentOutput, windows: Sequence[Windows], latents: TeacherLatents
    ) -> Term:
        """Distance to the teacher's latents, in every bin."""
        projection = self.module.projection
        assert projection is not None
        late, early = self.lookahead, output.latent.shape[1] - self.lookahead
        guess = projection(output.latent[:, late:])
        wanted = projection.target(latents.of(windows)[:, :early])
        known = torch.cat([w.behavior_mask for w in windows])[:, :early]
        if self.label_free:
            known = torch.zeros_like(known)
        weights = guess.new_tensor(self.config.alignment.weights)[known.long()]
        aligned = alignment(guess, wanted, self.config.alignment.kind, weights)
        return Term("alignment", 1.0, *aligned)

    def _reconstruction(self, output: StudentOutput, windows: Sequence[Windows]) -> Term:
        """Squared error of the clean features, read from the latents."""
        assert self.module.readout is not None
        groups = torch.split(output.latent, [w.features.shape[0] for w in windows])
        errors = [
            (self.module.readout(rows, w.session_id) - w.features).square().sum()
            for rows, w in zip(groups, windows, strict=True)
        ]
        entries = sum(w.features.numel() for w in windows)
        total = torch.stack(errors).sum()
        return Term(
            "reconstruction",
            self.config.reconstruction_weight,
            total,
            torch.tensor(entries, device=total.device),
        )

    def validate(self) -> dict[str, float]:
        """R² of a stream over every session's validation span; without labels, the alignment."""
        if self.label_free:
            return self._validate_alignment()
        return validation_score(self.scored, self._decode_validation)

    def _validate_alignment(self) -> dict[str, float]:
        assert self.validation_latents is not None
        terms = [
            self._alignment(self.module.student(windows), windows, self.validation_latents)
            for windows in self.validation
        ]
        figures = mean_errors(terms)
        return {"score": -figures["alignment"], **figures}

    def score_of_heads(self) -> Callable[[], float]:
        """The score of `validate` while nothing but the head changes: the encoder runs once."""
        self.module.eval()
        latents = {s.session_id: self._validation_latents(s) for s in self.scored}

        def decode(session: PreparedSession) -> NDArray[np.float32]:
            return self._read_out(session, latents[session.session_id])

        return lambda: validation_score(self.scored, decode)["score"]

    def refit_head(self, label_s: Mapping[str, float]) -> float:
        """Solve the head on the stream, with these label budgets; returns its validation score."""
        return refit_readout(
            self.module.student,
            self.sessions,
            lambda session: session.training_labels(label_s.get(session.session_id)),
            self.lookahead,
            self.score_of_heads(),
        )

    def _decode_validation(self, session: PreparedSession) -> NDArray[np.float32]:
        return self._read_out(session, self._validation_latents(session))

    def _validation_latents(self, session: PreparedSession) -> list[Tensor]:
        end = min(session.n_bins, session.splits["validation"][1] + self.lookahead)
        return stream_latents(self.module.student, session, _warm_up(session), end)

    def _read_out(self, session: PreparedSession, latents: Sequence[Tensor]) -> NDArray[np.float32]:
        start, stop = session.splits["validation"]
        warm = _warm_up(session)
        student, bins = self.module.student, stop - warm
        decoded = read_out(student, session.session_id, latents, bins, self.lookahead)
        return decoded[start - warm :]


def _warm_up(session: PreparedSession) -> int:
    """The bin in which a stream over the validation span begins."""
    start = session.splits["validation"][0]
    return max(0, start - round(WARM_UP_S * 1000 / session.bin_ms))


def distill(
    student: Student,
    teacher: AnyTeacher | None,
    source: WindowSource,
    sessions: Sequence[PreparedSession],
    config: DistillConfig,
    folder: Path,
    *,
    seed: int,
    fingerprint: str,
    accelerator: Accelerator | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Train the student in place, with a frozen teacher or, with None, from scratch.

    `sessions` are those whose validation span decides when to stop. At the end the head is
    refitted to the continuous stream (`realm.training.readout`), unless the recipe says no or no
    label is read; the checkpoint holds the weights before that. See `realm.training.loop.train` for
    the files written and the errors raised.
    """
    if teacher is not None and config.start == "teacher":
        start_from(student, teacher)
    validation = _validation_windows(source) if config.task_weight == 0 else []
    objective = DistillObjective(student, teacher, config, seed, sessions, validation)
    result = train(
        objective,
        source,
        config.optimization,
        folder,
        fingerprint=fingerprint,
        accelerator=accelerator,
        report=report,
    )
    if not config.refit_readout or config.task_weight == 0:
        return result
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    best_score = objective.refit_head(source.label_s)
    return result._replace(
        best_score=best_score,
        cpu_s=result.cpu_s + time.process_time() - cpu_start,
        wall_s=result.wall_s + time.perf_counter() - wall_start,
    )


def start_from(student: Student, teacher: AnyTeacher) -> None:
    """Copy the teacher's adapters, or its tokenizer, into the student; of several, the first's.

    Raises:
        ValueError: they differ in width, or their tokenizers in size.
    """
    teacher = teacher.first if isinstance(teacher, TeacherEnsemble) else teacher
    if student.d_model != teacher.d_model:
        raise ValueError(
            f'distill.start "teacher": expected encoders of one d_model, got {student.d_model} in '
            f'distill and {teacher.d_model} in pretrain; make them equal or use "fresh"'
        )
    student.adapters.load_state_dict(teacher.adapters.state_dict())
    ours, theirs = (getattr(m.encoder, "tokenizer", None) for m in (student, teacher))
    if isinstance(ours, nn.Module) and isinstance(theirs, nn.Module):
        try:
            ours.load_state_dict(theirs.state_dict())
        except RuntimeError as error:
            raise ValueError(
                f'distill.start "teacher": expected tokenizers of one size, but they differ '
                f'({str(error).splitlines()[-1].strip()}); make their sizes equal or use "fresh"'
            ) from error


def _validation_windows(source: WindowSource) -> list[list[Windows]]:
    """The same windows of validation time at every validation."""
    validation = WindowSource(
        list(source.sessions.values()),
        "validation",
        window_bins=source.window_bins,
        batch_size=source.batch_size,
        seed=source.seed,
    )
    return [validation.batch(step) for step in range(VALIDATION_BATCHES)]


def calibrate(
    student: Student,
    session: PreparedSession,
    source: WindowSource,
    config: CalibrateConfig,
    distilled: DistillConfig,
    folder: Path,
    *,
    seed: int,
    fingerprint: str,
    accelerator: Accelerator | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Train the student's adapter and head (or everything) on one session, in place.

    The session must already be known to the student (`Student.add_session`) and its behavior
    scale set. `distilled` is the recipe the student was trained with; its augmentation and
    lookahead are kept. The head, which all sessions share, is not refitted to this one alone.

    The student as it came is a candidate too: where training does not raise R² on the session's
    validation time, its weights stay as they were (`best_step` 0).
    """
    if config.train == "adapter_and_head":
        student.requires_grad_(False)
        for parameter in student.session_parameters(session.session_id):
            parameter.requires_grad_(True)
    changes = {
        "optimization": config.optimization,
        "refit_readout": False,
        "task_weight": 1.0,  # also where the student was trained without labels
        "reconstruction_weight": 0.0,
    }
    task = distilled.model_copy(update=changes)
    student.eval()
    start = {name: value.clone() for name, value in student.state_dict().items()}
    score = DistillObjective(student, None, task, seed, [session]).validate()["score"]
    try:
        result = distill(
            student,
            None,
            source,
            [session],
            task,
            folder,
            seed=seed,
            fingerprint=fingerprint,
            accelerator=accelerator,
            report=report,
        )
    finally:
        student.requires_grad_(True)
    if result.best_score > score or math.isnan(score):
        return result
    student.load_state_dict(start)
    return result._replace(best_score=score, best_step=0)
