"""Distilling the teacher: the causal student learns the task and the teacher's latents.

The teacher reads the whole, unmasked window, future included; the student reads it bin by bin and
is asked, through a projection, for the same latents. With alignment weight 0 this is the student
trained from scratch, and with another causal encoder in it, a baseline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from sklearn.metrics import r2_score
from torch import nn

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.nn.losses import AlignmentHead, alignment, task_loss
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.training.augment import augment
from realm.training.config import DistillConfig
from realm.training.decode import decode_stream
from realm.training.latents import TeacherLatents
from realm.training.loop import Report, Term, TrainingResult, train
from realm.training.pretrain import targets

WARM_UP_S = 10.0  # the stream starts this long before the validation span


class DistillModule(nn.Module):
    """The student and, while it is being aligned, its projection into the teacher's space."""

    def __init__(self, student: Student, latents: TeacherLatents | None) -> None:
        super().__init__()
        self.student = student
        self.projection = None
        if latents is not None:
            self.projection = AlignmentHead(student.d_model, latents.d_model)
            self.projection.set_teacher_scale(latents.training())


class DistillObjective:
    """Task loss where behavior is known, plus alignment everywhere."""

    module: DistillModule

    def __init__(
        self,
        student: Student,
        latents: TeacherLatents | None,
        config: DistillConfig,
        seed: int,
        sessions: Sequence[PreparedSession],
    ) -> None:
        self.module = DistillModule(student, latents)
        self.latents, self.config, self.seed, self.sessions = latents, config, seed, sessions
        self.lookahead = lookahead_bins(config.lookahead_ms, sessions[0].bin_ms)
        if not any(s.behavior(*s.splits["validation"])[1].any() for s in sessions):
            raise ValueError(
                f"{', '.join(str(s.path) for s in sessions)}: expected known behavior in the "
                "validation time of at least one session, which decides when to stop; all of it is "
                "missing. Use longer recordings or repair the behavior"
            )

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """The parts of the combined loss on one batch."""
        noisy = augment(windows, self.config.augmentation, self.seed, step)
        output = self.module.student(noisy)
        behavior, known = targets(self.module.student, windows)  # (batch, time, dims)
        late, early = self.lookahead, behavior.shape[1] - self.lookahead
        terms = [
            Term(
                "task",
                1.0,
                *task_loss(output.behavior[:, late:], behavior[:, :early], known[:, :early]),
            )
        ]
        if self.latents is not None and self.module.projection is not None:
            guess = self.module.projection(output.latent[:, late:])
            wanted = self.module.projection.target(self.latents.of(windows)[:, :early])
            aligned = alignment(guess, wanted, self.config.alignment.kind)
            terms.append(Term("alignment", self.config.alignment.weight, *aligned))
        return terms

    def validate(self) -> dict[str, float]:
        """R² of a continuous stream over every session's validation span."""
        scores, errors = [], []
        for session in self.sessions:
            start, stop = session.splits["validation"]
            warm = max(0, start - round(WARM_UP_S * 1000 / session.bin_ms))
            decoded = decode_stream(self.module.student, session, warm, stop, self.lookahead)
            behavior, known = session.behavior(start, stop)
            known = known & np.isfinite(decoded[start - warm :]).all(axis=1)
            truth, guess = behavior[known], decoded[start - warm :][known]
            varying = truth.std(axis=0) > 0 if len(truth) > 1 else np.zeros(0, bool)
            if varying.any():
                scores.append(r2_score(truth[:, varying], guess[:, varying]))
            if len(truth):
                errors.append(float(np.mean((truth - guess) ** 2)))
        score = float(np.mean(scores)) if scores else -float(np.mean(errors or [math.inf]))
        return {"score": score, **({"r2": score} if scores else {})}


def distill(
    student: Student,
    teacher: Teacher | None,
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

    `sessions` are those whose validation span decides when to stop. See
    `realm.training.loop.train` for the files written and the errors raised.
    """
    latents, begun = None, (time.process_time(), time.perf_counter())
    if teacher is not None and config.alignment.weight > 0:
        latents = TeacherLatents(teacher, list(source.sessions.values()))
    cpu_s, wall_s = time.process_time() - begun[0], time.perf_counter() - begun[1]
    objective = DistillObjective(student, latents, config, seed, sessions)
    result = train(
        objective, source, config.optimization, folder,
        fingerprint=fingerprint, accelerator=accelerator, report=report,
    )  # fmt: skip
    return result._replace(cpu_s=result.cpu_s + cpu_s, wall_s=result.wall_s + wall_s)


def lookahead_bins(lookahead_ms: float, bin_ms: float) -> int:
    """Whole bins of lookahead.

    Raises:
        ValueError: the lookahead is not a multiple of the bin width.
    """
    bins = round(lookahead_ms / bin_ms)
    if not math.isclose(bins * bin_ms, lookahead_ms, abs_tol=1e-6):
        raise ValueError(
            f"lookahead_ms: expected a multiple of the bin width {bin_ms:g} ms, got "
            f"{lookahead_ms:g}; use {bins * bin_ms:g} or {(bins + 1) * bin_ms:g}"
        )
    return bins
