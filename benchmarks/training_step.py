"""One step of training as the recipe `reach_sim` takes it, teacher and student, part by part.

Simulated sessions of 32 channels. Beside the time of each part stands the whole step. "loss" is
all of the forward pass that is neither adapter nor encoder: masks, noise, heads and the losses;
"optimizer" holds the clipping of gradients.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import Row, compare
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession, PreparedSet
from realm.data.windows import WindowSource
from realm.nn.adapters import SessionInfo
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.recipe import Recipe, load_recipe
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import BEHAVIOR_PATH, write_session
from realm.training.config import OptimizationConfig
from realm.training.distill import DistillObjective
from realm.training.loop import Objective
from realm.training.optimizer import Optimizer
from realm.training.pretrain import PretrainObjective

RECIPE = Path(__file__).parents[1] / "recipes" / "reach_sim.toml"
DATA_TARGET = 0.05  # of a step
PARTS = ("data", "adapter", "encoder", "loss", "backward", "optimizer")


def measure(quick: bool) -> list[Row]:
    """A row for every part of a step of the teacher and of the student."""
    channels, rate, minutes, steps = (4, 250.0, 2.0, 3) if quick else (32, 1000.0, 2.0, 25)
    recipe = load_recipe(RECIPE)
    with TemporaryDirectory() as folder:
        sessions = _sessions(recipe, Path(folder), channels, rate, minutes)
        infos = [
            SessionInfo(s.session_id, s.subject, tuple(s.channel_names), len(s.band_names))
            for s in sessions
        ]
        dims = sessions[0].behavior(0, 1)[0].shape[1]
        teacher = Teacher(recipe.pretrain.encoder, infos, dims)
        student = Student(recipe.distill.encoder, infos, dims)
        by_id = {session.session_id: session for session in sessions}
        pretraining = PretrainObjective(teacher, recipe.pretrain, 0, by_id, [])
        pretraining.begin()
        distilling = DistillObjective(student, teacher, recipe.distill, 0, sessions)
        distilling.begin()
        rows = []
        for name, objective, model, config in (
            ("Teacher", pretraining, teacher, recipe.pretrain.optimization),
            ("Student", distilling, student, recipe.distill.optimization),
        ):
            seconds = _steps(objective, model, _source(recipe, sessions, config), config, steps)
            rows += _rows(f"{name}, training step", seconds)
    return rows


def _sessions(
    recipe: Recipe, folder: Path, channels: int, rate: float, minutes: float
) -> list[PreparedSession]:
    config = SimulationConfig(
        channels=channels, sampling_rate_hz=rate, behavior_rate_hz=50.0, duration_s=60 * minutes
    )
    data = recipe.data.model_copy(update={"behavior": BEHAVIOR_PATH})
    for day in range(2):
        source = write_session(folder / f"day{day}.nwb", simulate_session(config, day=day))
        prepare_session(source, folder / "prepared", recipe.signal, data)
    return list(PreparedSet.load(folder / "prepared"))


def _source(
    recipe: Recipe, sessions: list[PreparedSession], config: OptimizationConfig
) -> WindowSource:
    bins = round(1000 * recipe.data.window_s / recipe.signal.bin_ms)
    return WindowSource(sessions, window_bins=bins, batch_size=config.batch_size, seed=0)


def _steps(
    objective: Objective, model: Any, source: WindowSource, config: OptimizationConfig, steps: int
) -> dict[str, Any]:
    """Seconds of every part and of the whole, over steps after two that do not count."""
    optimizer = Optimizer(objective.module, config)
    objective.module.train()
    taken: dict[str, list[float]] = defaultdict(list)
    for step in range(steps + 2):
        now = dict.fromkeys(PARTS, 0.0)
        with _timed(now, "data"):
            windows = source.batch(step)
        with _timed(now, "loss"), _inside(now, adapter=model.adapters, encoder=model.encoder):
            terms = objective.terms(windows, step)
            loss = torch.stack([t.weight * t.total / t.entries.clamp(min=1) for t in terms]).sum()
        now["loss"] -= now["adapter"] + now["encoder"]
        with _timed(now, "backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with _timed(now, "optimizer"):
            nn.utils.clip_grad_norm_(objective.module.parameters(), config.gradient_clip)
            optimizer.step()
            optimizer.start_step(step + 1)
        for part, seconds in (now | {"whole": sum(now.values())}).items():
            taken[part].append(seconds)
    return {part: np.array(seconds[2:]) for part, seconds in taken.items()}


@contextmanager
def _timed(into: dict[str, float], part: str) -> Iterator[None]:
    start = time.process_time()
    yield
    into[part] += time.process_time() - start


@contextmanager
def _inside(into: dict[str, float], **modules: nn.Module) -> Iterator[None]:
    """Time what these modules take of a forward pass."""

    def begin(part: str) -> Any:
        def hook(*_: Any) -> None:
            into[part] -= time.process_time()

        return hook

    def end(part: str) -> Any:
        def hook(*_: Any) -> None:
            into[part] += time.process_time()

        return hook

    hooks = [m.register_forward_pre_hook(begin(part)) for part, m in modules.items()]
    hooks += [m.register_forward_hook(end(part)) for part, m in modules.items()]
    yield
    for each in hooks:
        each.remove()


def _rows(name: str, seconds: dict[str, Any]) -> list[Row]:
    targets = {"data": DATA_TARGET}
    return [
        compare(
            f"{name}, {part}",
            seconds[part],
            "ms",
            "the whole step",
            seconds["whole"],
            targets.get(part),
        )
        for part in PARTS
    ]
