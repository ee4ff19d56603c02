"""The one training loop: batch, losses, gradients, step; validated, logged, resumable.

Everything random is a function of (seed, step, position in the global batch), so a run that was
killed goes on from its last checkpoint to the same weights, bit for bit on the CPU, and several
processes that share a global batch follow the loss curve of one.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from realm.data.windows import Windows
from realm.files import append_line, make_folder, write_text
from realm.nn.losses import LossInput, find_loss
from realm.progress import Report
from realm.training.augment import window_seed
from realm.training.checkpoint import load_checkpoint, restore, save_checkpoint
from realm.training.config import OptimizationConfig
from realm.training.optimizer import Optimizer


class Term(NamedTuple):
    """One part of a loss: the sum over what this process saw, and how many entries it has."""

    name: str
    weight: float
    total: Tensor  # scalar
    entries: Tensor  # scalar


def further_terms(losses: Mapping[str, float], given: LossInput) -> list[Term]:
    """The losses that a recipe adds by name, with their weights."""
    return [Term(name, weight, *find_loss(name)(given)) for name, weight in losses.items()]


class Objective(Protocol):
    """What the loop needs to know about a thing to train."""

    @property
    def module(self) -> nn.Module:
        """What is trained; its best weights are kept."""

    def begin(self) -> None:
        """Called once before the first step of a process; not if the training had ended."""

    def terms(self, windows: Sequence[Windows], step: int) -> list[Term]:
        """The parts of the loss on these windows."""

    def validate(self) -> dict[str, float]:
        """Figures on validation time; `score` decides (higher is better)."""


class BatchSource(Protocol):
    """Training windows as a pure function of the step."""

    def batch(self, step: int, rank: int = 0, world: int = 1) -> list[Windows]:
        """This process's part of the global batch of a step."""


class TrainingResult(NamedTuple):
    """What a finished training leaves behind; the module holds the best weights."""

    best_score: float
    best_step: int
    steps: int
    cpu_s: float
    wall_s: float


def train(
    objective: Objective,
    source: BatchSource,
    config: OptimizationConfig,
    folder: Path,
    *,
    fingerprint: str,
    accelerator: Accelerator | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Train `objective.module` and leave its best weights in it.

    Writes `metrics.jsonl` and `checkpoint.safetensors` in `folder`; a second call with the same
    folder and fingerprint goes on where the first stopped, or returns at once if it had ended.

    Raises:
        ValueError: the folder's checkpoint is damaged or belongs to another configuration.
        FloatingPointError: the loss is not finite; the last good checkpoint is left in place.
    """
    run = _Run(objective, source, config, make_folder(folder), fingerprint, accelerator, report)
    run.resume()
    if not run.finished:
        objective.begin()
    while not run.finished:
        run.one_step()
    objective.module.load_state_dict(run.best)
    return TrainingResult(run.best_score, run.best_step, run.step, run.cpu_s(), run.wall_s())


class _Run:
    """The state of one training: step, best weights so far, clocks."""

    def __init__(
        self,
        objective: Objective,
        source: BatchSource,
        config: OptimizationConfig,
        folder: Path,
        fingerprint: str,
        accelerator: Accelerator | None,
        report: Report | None,
    ) -> None:
        self.objective, self.source, self.config = objective, source, config
        self.folder, self.fingerprint, self.report = folder, fingerprint, report
        self.accelerator = accelerator or Accelerator(cpu=not torch.cuda.is_available())
        self.module = objective.module.to(self.accelerator.device)
        self.optimizer = Optimizer(self.module, config)
        self.best = _weights(self.module)
        self.best_score, self.best_step = -math.inf, 0
        self.step, self.without_gain, self.finished = 0, 0, False
        self.cpu_before, self.wall_before = 0.0, 0.0
        self.cpu_start, self.wall_start = time.process_time(), time.perf_counter()

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def cpu_s(self) -> float:
        return self.cpu_before + time.process_time() - self.cpu_start

    def wall_s(self) -> float:
        return self.wall_before + time.perf_counter() - self.wall_start

    def resume(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if path.exists():
            checkpoint = load_checkpoint(path, self.fingerprint)
            restore(checkpoint, self.module, self.optimizer)
            self.best, facts = checkpoint.best, checkpoint.facts
            self.step, self.finished = facts["step"], facts["finished"]
            self.best_score, self.best_step = facts["best_score"], facts["best_step"]
            self.without_gain = facts["without_gain"]
            self.cpu_before, self.wall_before = facts["cpu_s"], facts["wall_s"]
        if self.is_main and not self.finished:
            _keep_metrics(self.folder / "metrics.jsonl", self.step)
        self.accelerator.wait_for_everyone()

    def one_step(self) -> None:
        losses = self._update()
        self.step += 1
        self._log("train", losses)
        last = self.step == self.config.steps
        if last or self.step % self.config.validate_every == 0:
            self._validate()
        self.finished = last or self.without_gain >= self.config.patience
        if self.finished or self.step % self.config.checkpoint_every == 0:
            self._save()

    def _update(self) -> dict[str, float]:
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        self.module.train()
        # what a network drops is a function of the step, also after a resumption
        torch.manual_seed(window_seed(zlib.crc32(self.fingerprint.encode()), self.step, rank))
        self.optimizer.start_step(self.step)
        windows = [
            _to(w, self.accelerator.device) for w in self.source.batch(self.step, rank, world)
        ]
        with self.accelerator.autocast():
            terms = self.objective.terms(windows, self.step)
        counts = self.accelerator.reduce(torch.stack([t.entries.float() for t in terms]), "sum")
        parts = [t.weight * t.total / c.clamp(min=1) for t, c in zip(terms, counts, strict=True)]
        loss = torch.stack(parts).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        reduce_gradients(self.module, self.accelerator)
        nn.utils.clip_grad_norm_(self.module.parameters(), self.config.gradient_clip)
        totals = self.accelerator.reduce(torch.stack([t.total.detach() for t in terms]), "sum")
        losses = {
            t.name: (total / c.clamp(min=1)).item()
            for t, total, c in zip(terms, totals, counts, strict=True)
        }
        losses["loss"] = sum(t.weight * losses[t.name] for t in terms)
        if not math.isfinite(losses["loss"]):
            raise FloatingPointError(
                f"{self.folder}: the loss became {losses['loss']} at step {self.step}; expected a "
                "finite number. Lower the learning rate; the last checkpoint is left in place"
            )
        self.optimizer.step()
        return losses

    def _validate(self) -> None:
        self.module.eval()
        with torch.no_grad():
            figures = self.objective.validate()
        if figures["score"] > self.best_score:
            self.best, self.best_score = _weights(self.module), figures["score"]
            self.best_step, self.without_gain = self.step, 0
        else:
            self.without_gain += 1
        self._log("validation", figures)

    def _log(self, split: str, figures: dict[str, float]) -> None:
        if not self.is_main:
            return
        line = {"step": self.step, "split": split}
        finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        append_line(self.folder / "metrics.jsonl", json.dumps(line | finite))
        if self.report is not None:
            self.report(self.step, figures)

    def _save(self) -> None:
        if not self.is_main:
            return
        facts: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "finished": self.finished,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "without_gain": self.without_gain,
            "cpu_s": self.cpu_s(),
            "wall_s": self.wall_s(),
        }
        path = self.folder / "checkpoint.safetensors"
        save_checkpoint(path, self.module, self.best, self.optimizer, facts)


def reduce_gradients(module: nn.Module, accelerator: Accelerator) -> None:
    """Sum the gradients over all processes; a weight no process used keeps no gradient."""
    if accelerator.num_processes == 1:
        return
    parameters = [p for p in module.parameters() if p.requires_grad]
    used = torch.tensor([float(p.grad is not None) for p in parameters], device=accelerator.device)
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )
    used, flat = accelerator.reduce(used, "sum"), accelerator.reduce(flat, "sum")
    pieces = flat.split([p.numel() for p in parameters])
    for parameter, piece, users in zip(parameters, pieces, used.tolist(), strict=True):
        parameter.grad = piece.view_as(parameter) if users else None


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def _to(windows: Windows, device: torch.device) -> Windows:
    moved: Iterable[Any] = (v.to(device) if isinstance(v, Tensor) else v for v in windows)
    return Windows(*moved)


def _keep_metrics(path: Path, step: int) -> None:
    """Drop logged lines after `step`: they will be made again, identically."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))
