"""Calibrating a trained student to a session it has not seen.

Minutes of labelled signal are enough when only the session's own adapter and the behavior head
move; with more labels everything may.
"""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.nn.student import Student
from realm.training.config import CalibrateConfig, DistillConfig
from realm.training.distill import distill
from realm.training.loop import Report, TrainingResult


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
    """
    if config.train == "adapter_and_head":
        student.requires_grad_(False)
        for parameter in student.session_parameters(session.session_id):
            parameter.requires_grad_(True)
    changes = {"optimization": config.optimization, "refit_readout": False}
    task = distilled.model_copy(update=changes)
    try:
        return distill(
            student, None, source, [session], task, folder,
            seed=seed, fingerprint=fingerprint, accelerator=accelerator, report=report,
        )  # fmt: skip
    finally:
        student.requires_grad_(True)
