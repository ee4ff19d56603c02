"""Distilling the teacher: the causal student learns the task and the teacher's latents.

The teacher reads the whole, unmasked window, future included; the student reads it bin by bin and
is asked, through a projection, for the same latents. With alignment weight 0 this is the student
trained from scratch, and with another causal encoder in it, a baseline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from realm.data.sessions import PreparedSession
from realm.data.windows import Windows, WindowSource
from realm.nn.losses import AlignmentHead, alignment, task_loss
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.progress import Report
from realm.signal.binning import lookahead_bins
from realm.training.augment import augment
from realm.training.config import DistillConfig
from realm.training.decode import read_out, stream_latents
from realm.training.latents import TeacherLatents
from realm.training.loop import Term, TrainingResult, train
from realm.training.readout import refit_readout
from realm.training.validation import require_validation_labels, validation_score

WARM_UP_S = 10.0  # the stream starts this long before the validation span


class DistillModule(nn.Module):
    """The student and, while it is being aligned, its projection into the teacher's space."""

    def __init__(self, student: Student, teacher: Teacher | None) -> None:
        super().__init__()
        self.student = student
        self.projection = (
            None if teacher is None else AlignmentHead(student.d_model, teacher.d_model)
        )


class DistillObjective:
    """Task loss where behavior is known, plus alignment everywhere."""

    module: DistillModule

    def __init__(
        self,
        student: Student,
        teacher: Teacher | None,
        config: DistillConfig,
        seed: int,
        sessions: Sequence[PreparedSession],
    ) -> None:
        self.teacher = teacher if max(config.alignment.weights) > 0 else None
        self.module = DistillModule(student, self.teacher)
        self.latents: TeacherLatents | None = None
        self.config, self.seed, self.sessions = config, seed, sessions
        self.lookahead = lookahead_bins(config.lookahead_ms, sessions[0].bin_ms)
        require_validation_labels(sessions)

    def begin(self) -> None:
        """Let the teacher read the training time of all sessions, once."""
        if self.teacher is not None and self.module.projection is not None:
            self.latents = TeacherLatents(self.teacher, self.sessions)
            self.module.projection.set_teacher_scale(self.latents.training())

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """The parts of the combined loss on one batch."""
        noisy = augment(windows, self.config.augmentation, self.seed, step)
        output = self.module.student(noisy)
        behavior, known = self.module.student.targets(windows)  # (batch, time, dims)
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
            weights = guess.new_tensor(self.config.alignment.weights)[known[:, :early].long()]
            aligned = alignment(guess, wanted, self.config.alignment.kind, weights)
            terms.append(Term("alignment", 1.0, *aligned))
        return terms

    def validate(self) -> dict[str, float]:
        """R² of a continuous stream over every session's validation span."""
        return validation_score(self.sessions, self._decode_validation)

    def score_of_heads(self) -> Callable[[], float]:
        """The score of `validate` while nothing but the head changes: the encoder runs once."""
        self.module.eval()
        latents = {s.session_id: self._validation_latents(s) for s in self.sessions}

        def decode(session: PreparedSession) -> NDArray[np.float32]:
            return self._read_out(session, latents[session.session_id])

        return lambda: validation_score(self.sessions, decode)["score"]

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

    `sessions` are those whose validation span decides when to stop. At the end the head is
    refitted to the continuous stream (`realm.training.readout`), unless the recipe says no; the
    checkpoint holds the weights before that. See `realm.training.loop.train` for the files
    written and the errors raised.
    """
    objective = DistillObjective(student, teacher, config, seed, sessions)
    result = train(
        objective,
        source,
        config.optimization,
        folder,
        fingerprint=fingerprint,
        accelerator=accelerator,
        report=report,
    )
    if not config.refit_readout:
        return result
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    best_score = refit_readout(
        student,
        sessions,
        lambda session: session.training_labels(source.label_s.get(session.session_id)),
        objective.lookahead,
        objective.score_of_heads(),
    )
    return result._replace(
        best_score=best_score,
        cpu_s=result.cpu_s + time.process_time() - cpu_start,
        wall_s=result.wall_s + time.perf_counter() - wall_start,
    )
