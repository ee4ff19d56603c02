"""Two workers beside one: preparation with Ray, training with torchrun. Wall time, not processor.

    python -m torch.distributed.run … -m benchmarks.scaling FOLDER STEPS BATCH    # one training

The reference is the time of one worker divided by two, so the efficiency is one over the ratio.
Starting the workers is left out, as it does not grow with the work. A machine with fewer free cores
than workers shows its cores here and not the program.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.timing import Row, Skipped, compare
from realm.data.config import DataConfig
from realm.data.prepare import prepare_all, prepare_session
from realm.data.sessions import PreparedSet
from realm.data.windows import WindowSource
from realm.nn.adapters import SessionInfo
from realm.nn.teacher import Teacher
from realm.recipe import load_recipe
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import BEHAVIOR_PATH, write_session
from realm.training.loop import train
from realm.training.pretrain import PretrainObjective

RECIPE = Path(__file__).parents[1] / "recipes" / "reach_sim.toml"
DATA = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)
WORKERS = (1, 2)
STARTING_S = 5.0  # more than a second worker takes to start
WARM_STEPS = 5  # of a training, which do not count


def measure(quick: bool) -> list[Row | Skipped]:
    """A row for preparing many sessions and one for training on a few of them."""
    sessions, channels, rate = (4, 4, 250.0) if quick else (64, 32, 1000.0)
    steps, batch, rounds = (10, 8, 1) if quick else (60, 32, 3)
    name = f"Ray, preparing {sessions} sessions", f"torchrun, {steps} steps of the teacher"
    with TemporaryDirectory() as folder:
        sources = _recordings(Path(folder), sessions, channels, rate)
        prepared = Path(folder) / "prepared"
        prepare_all(sources[:4], prepared, SignalConfig(), DATA, workers=1, show=False)
        return [
            _row(f"{name[0]} on 2 workers", lambda: _preparing(sources, Path(folder)), rounds)
            if importlib.util.find_spec("ray")
            else Skipped(name[0], "Ray is not installed"),
            _row(f"{name[1]} on 2 processes", lambda: _training(prepared, steps, batch), rounds)
            if torch.distributed.is_available()
            else Skipped(name[1], "this build of torch has no torch.distributed"),
        ]


def _recordings(folder: Path, sessions: int, channels: int, rate: float) -> list[Path]:
    config = SimulationConfig(
        channels=channels, sampling_rate_hz=rate, behavior_rate_hz=50.0, duration_s=60.0
    )
    return [
        write_session(folder / f"day{day}.nwb", simulate_session(config, day=day))
        for day in range(sessions)
    ]


def _row(name: str, with_workers: Callable[[], Sequence[float]], rounds: int) -> Row:
    one, two = np.array([with_workers() for _ in range(rounds)]).T
    return compare(name, two, "s", "1 worker, halved", one / 2)


def _preparing(sources: list[Path], folder: Path) -> list[float]:
    """Seconds with every number of workers, which have prepared one session each before."""
    import ray

    seconds = []
    for workers in WORKERS:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        try:
            with TemporaryDirectory(dir=folder) as fresh:
                warm = [
                    ray.remote(_first).remote(source, Path(fresh) / "warm")
                    for source in sources[:workers]
                ]
                assert len(set(ray.get(warm))) == workers
                start = time.perf_counter()
                out = Path(fresh) / "all"
                prepare_all(sources, out, SignalConfig(), DATA, cluster=True, show=False)
                seconds.append(time.perf_counter() - start)
        finally:
            ray.shutdown()
    return seconds


def _first(source: Path, out: Path) -> int:
    """The first preparation of a worker, which keeps it until all others have begun theirs."""
    prepare_session(source, out, SignalConfig(), DATA)
    time.sleep(STARTING_S)
    return os.getpid()


def _training(prepared: Path, steps: int, batch: int) -> list[float]:
    """Seconds with every number of processes; the global batch stays the same."""
    seconds = []
    for processes in WORKERS:
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(processes),
            "-m",
            "benchmarks.scaling",
            str(prepared),
            str(steps),
            str(batch),
        ]
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds.append(float(json.loads(done.stdout)))
    return seconds


def _steps(prepared: Path, steps: int, batch: int) -> float | None:
    """Train a teacher in this process and those beside it; seconds, from the first of them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = load_recipe(RECIPE)
    sessions = list(PreparedSet.load(prepared))
    infos = [
        SessionInfo(s.session_id, s.subject, tuple(s.channel_names), len(s.band_names))
        for s in sessions
    ]
    dims = sessions[0].behavior(0, 1)[0].shape[1]
    bins = round(1000 * recipe.data.window_s / recipe.signal.bin_ms)
    source = WindowSource(sessions, window_bins=bins, batch_size=batch, seed=0)
    teacher = Teacher(recipe.pretrain.encoder, infos, dims)
    objective = PretrainObjective(teacher, recipe.pretrain, 0, source.sessions, [source.batch(0)])
    total = WARM_STEPS + steps
    config = recipe.pretrain.optimization.model_copy(
        update={"steps": total, "batch_size": batch, "validate_every": total}
    )
    reached: dict[int, float] = {}  # step to the time of its end; the first process alone reports

    def note(step: int, _: dict[str, float]) -> None:
        reached.setdefault(step, time.perf_counter())

    with TemporaryDirectory() as folder:
        train(objective, source, config, Path(folder), fingerprint="scaling", report=note)
    return reached[total] - reached[WARM_STEPS] if reached else None


if __name__ == "__main__":
    taken = _steps(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    if taken is not None:
        print(json.dumps(taken))
