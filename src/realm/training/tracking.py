"""Training curves in TensorBoard as well, for those who watch them there.

Off by default: `metrics.jsonl` holds every figure anyway. Each seed is one run in TensorBoard, with
figures such as `teacher/train/loss` and `student/validation/r2`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator

from realm.progress import Report
from realm.training.config import Strict

Training = Callable[[str, int], Report]  # (title, steps) -> report


class TrackingConfig(Strict):
    """Where training curves go besides `metrics.jsonl`.

    Attributes:
        trackers: names of the trackers, none by default.
    """

    trackers: tuple[Literal["tensorboard"], ...] = ()


@contextmanager
def tracked(
    config: TrackingConfig, training: Training, name: str, folder: Path, settings: Mapping[str, Any]
) -> Iterator[Training]:
    """Reporters of trainings that write to TensorBoard too, until the block ends.

    Args:
        config: which trackers; with none, `training` is yielded as it is.
        training: makes the reporter of a training from its title, whose last word names it.
        name: of the run in TensorBoard.
        folder: for the files of TensorBoard; only the first process writes them.
        settings: what the run was made with; nested keys are joined by dots.

    Raises:
        ValueError: TensorBoard is not installed; the message says what to install.
    """
    if not config.trackers or not Accelerator(cpu=not torch.cuda.is_available()).is_main_process:
        yield training
        return
    writer = _writer(folder / name.replace("/", "-"))
    writer.add_hparams(dict(_flat(settings)), {}, run_name=".")

    def both(title: str, steps: int) -> Report:
        own, prefix = training(title, steps), title.split()[-1]

        def report(step: int, figures: dict[str, float]) -> None:
            own(step, figures)
            split = "validation" if "score" in figures else "train"
            for key, value in figures.items():
                writer.add_scalar(f"{prefix}/{split}/{key}", value, step)
            writer.flush()

        return report

    try:
        yield both
    finally:
        writer.close()


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            f"tracking.trackers: expected 'tensorboard' to be installed, it is not ({error}); run "
            "pip install 'realm-lfp[track]', or leave it out of the recipe"
        ) from error
    return SummaryWriter(str(folder))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
