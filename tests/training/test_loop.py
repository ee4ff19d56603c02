"""The training loop: same batches after a restart, same curve in several processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from realm.files import read_tensors
from realm.training.checkpoint import load_checkpoint
from realm.training.config import OptimizationConfig
from realm.training.loop import Term, train
from realm.training.optimizer import learning_share

CONFIG = OptimizationConfig(
    steps=9, batch_size=4, warmup_steps=3, validate_every=2, checkpoint_every=2, patience=9
)


class Noise:
    """A regression on numbers that depend on the step alone."""

    def __init__(self, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(5, 2)
        self.stop_at = stop_at

    def begin(self) -> None:
        self.begun = True

    def terms(self, windows: list[Tensor], step: int) -> list[Term]:
        if step == self.stop_at:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(7, 5, generator=generator)
        y = torch.randn(7, 2, generator=generator)
        return [Term("task", 1.0, (self.module(x) - y).square().sum(), torch.tensor(14))]

    def validate(self) -> dict[str, float]:
        return {"score": -self.module.weight.detach().square().sum().item()}


class NoBatches:
    def batch(self, step: int, rank: int = 0, world: int = 1) -> list[Tensor]:
        return []


def weights_after(folder: Path, stop_at: int | None = None) -> dict[str, Tensor]:
    objective = Noise(stop_at)
    train(objective, NoBatches(), CONFIG, folder, fingerprint="f")
    return objective.module.state_dict()


@pytest.mark.parametrize("stop_at", [0, 1, 2, 5, 8])
def test_a_stopped_run_ends_with_the_same_weights_and_log(tmp_path: Path, stop_at: int) -> None:
    whole = weights_after(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights_after(tmp_path / "stopped", stop_at)
    resumed = weights_after(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = weights_after(tmp_path)
    objective = Noise(stop_at=0)  # would raise if it took a step
    train(objective, NoBatches(), CONFIG, tmp_path, fingerprint="f")
    assert not hasattr(objective, "begun")
    again = objective.module.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    objective = Noise()
    result = train(objective, NoBatches(), CONFIG, tmp_path, fingerprint="f")
    scores = {
        line["step"]: line["score"]
        for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
        if line["split"] == "validation"
    }
    assert result.best_score == max(scores.values())
    assert scores[result.best_step] == result.best_score
    assert objective.validate()["score"] == pytest.approx(result.best_score)


def test_patience_ends_a_run_early(tmp_path: Path) -> None:
    objective = Noise()
    objective.validate = lambda: {"score": 0.0}  # type: ignore[method-assign]
    config = CONFIG.model_copy(update={"patience": 2})
    result = train(objective, NoBatches(), config, tmp_path, fingerprint="f")
    assert result.steps == 6  # the first validation is best, two more without a gain
    assert result.best_step == 2


def test_a_loss_that_is_not_finite_is_said_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    objective = Noise()
    plain = objective.terms

    def diverging(windows: list[Tensor], step: int) -> list[Term]:
        term = plain(windows, step)[0]
        return [term._replace(total=term.total * (float("nan") if step == 5 else 1.0))]

    objective.terms = diverging  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="learning rate"):
        train(objective, NoBatches(), CONFIG, tmp_path, fingerprint="f")
    assert load_checkpoint(tmp_path / "checkpoint.safetensors", "f").facts["step"] == 4


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    weights_after(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors.*another configuration"):
        train(Noise(), NoBatches(), CONFIG, tmp_path, fingerprint="other")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "not safetensors"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    weights_after(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "foreign":
        from realm.files import write_tensors

        write_tensors(path, {"a": torch.ones(2).numpy()})
    else:
        path.write_bytes(b"PK\x03\x04 a zip file")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors.*(damaged|truncated|format)"):
        train(Noise(), NoBatches(), CONFIG, tmp_path, fingerprint="f")


def test_the_learning_rate_rises_then_falls() -> None:
    shares = [learning_share(step, CONFIG) for step in range(CONFIG.steps + 1)]
    assert shares[:3] == pytest.approx([k / 3 for k in (1, 2, 3)])
    assert shares[3] == max(shares) == 1
    assert shares[-1] == pytest.approx(CONFIG.final_learning_rate)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "realm", *map(str, arguments)]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(
    tmp_path: Path, small_recipe: Path, recordings: list[Path]
) -> None:
    data = recordings[0].parent
    steps = [
        "--set",
        "pretrain.optimization.steps=40",
        "--set",
        "pretrain.optimization.checkpoint_every=2",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(
        command("pretrain", small_recipe, "--data", data, "--out", whole, *steps), check=True
    )
    go = command("pretrain", small_recipe, "--data", data, "--out", killed, *steps)
    running = subprocess.Popen(go)
    metrics = killed / "seed0" / "teacher" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 5):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    subprocess.run(go, check=True)
    kept = [
        read_tensors(folder / "seed0" / "teacher" / "checkpoint.safetensors")
        for folder in (whole, killed)
    ]
    assert kept[0].keys() == kept[1].keys()
    assert all((kept[0][name] == kept[1][name]).all() for name in kept[0])


@pytest.mark.slow
def test_two_processes_follow_the_loss_curve_of_one(
    tmp_path: Path, small_recipe: Path, recordings: list[Path]
) -> None:
    data = recordings[0].parent
    arguments = ["distill", small_recipe, "--data", data]
    subprocess.run(command(*arguments, "--out", tmp_path / "one"), check=True)
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(free_port()),
        "-m",
        "realm",
    ]
    go = [*torchrun, *map(str, arguments), "--out", str(tmp_path / "two")]
    subprocess.run(go, check=True, timeout=180)
    for stage in ("teacher", "student"):
        curves = [
            [
                json.loads(line)
                for line in (tmp_path / run / "seed0" / stage / "metrics.jsonl").open()
            ]
            for run in ("one", "two")
        ]
        assert len(curves[0]) == len(curves[1])
        for one, two in zip(*curves, strict=True):
            assert one.keys() == two.keys()
            for name, value in one.items():
                expected = value if isinstance(value, str) else pytest.approx(value, rel=2e-4)
                assert two[name] == expected, (stage, one["step"], name)
