"""Training curves in TensorBoard or MLflow as well, for those who watch them there.

Off by default: `metrics.jsonl` holds every figure anyway. The trackers are accelerate's; each seed
is one run in them, with figures such as `teacher/train/loss` and `student/validation/r2`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator

from realm.progress import Report
from realm.training.config import Strict

TrackerName = Literal["tensorboard", "mlflow"]
Training = Callable[[str, int], Report]  # (title, steps) -> report


class TrackingConfig(Strict):
    """Where training curves go besides `metrics.jsonl`."""

    trackers: tuple[TrackerName, ...] = ()


@contextmanager
def tracked(
    config: TrackingConfig, training: Training, name: str, folder: Path, settings: Mapping[str, Any]
) -> Iterator[Training]:
    """Reporters of trainings that tell the trackers too, until the block ends.

    Args:
        config: which trackers; with none, `training` is yielded as it is.
        training: makes the reporter of a training from its title, whose last word names it.
        name: of the run in the trackers.
        folder: for the files of TensorBoard; MLflow goes where its own settings say.
        settings: what the run was made with; nested keys are joined by dots.

    Raises:
        ValueError: a tracker is not installed; the message says what to install.
    """
    if not config.trackers:
        yield training
        return
    for tracker in config.trackers:
        _check_installed(tracker)
    log_with: list[Any] = list(config.trackers)
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), log_with=log_with, project_dir=folder
    )
    accelerator.init_trackers(
        name.replace("/", "-"),
        config=dict(_flat(settings)),
        init_kwargs={"mlflow": {"run_name": name}},
    )

    def both(title: str, steps: int) -> Report:
        own, prefix = training(title, steps), title.split()[-1]

        def report(step: int, figures: dict[str, float]) -> None:
            own(step, figures)
            split = "validation" if "score" in figures else "train"
            told = {f"{prefix}/{split}/{key}": value for key, value in figures.items()}
            accelerator.log(told, step=step)

        return report

    try:
        yield both
    finally:
        for open_tracker in accelerator.trackers:  # `end_training` would end the processes too
            open_tracker.finish()


def _check_installed(tracker: TrackerName) -> None:
    if find_spec(tracker) is None:
        raise ValueError(
            f"tracking.trackers: expected an installed tracker, {tracker!r} is not; install it "
            "with pip install 'realm-lfp[track]', or leave it out of the recipe"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
