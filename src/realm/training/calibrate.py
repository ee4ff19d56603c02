"""Calibrating a trained student to a session it has not seen.

Minutes of labelled signal are enough when only the session's own adapter and the behavior head
move; with more labels everything may.
"""

from __future__ import annotations

import math
from pathlib import Path

from accelerate import Accelerator

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.nn.student import Student
from realm.progress import Report
from realm.training.config import CalibrateConfig, DistillConfig
from realm.training.distill import DistillObjective, distill
from realm.training.loop import TrainingResult


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
    changes = {"optimization": config.optimization, "refit_readout": False}
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
