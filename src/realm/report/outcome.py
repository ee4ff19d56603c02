"""What a run leaves to look at: decodings of the test time, and the figures drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.evaluation.results import read_results
from realm.files import read_tensors, write_tensors
from realm.report.learning_curves import loss_figure, read_metrics
from realm.report.session_scores import r2_figure
from realm.report.trajectories import Trajectory, trajectory_figure

SHOWN = ("ridge", "student")  # more lines could not be told apart
TRAINED = ("teacher", "student")


def write_decoding(
    folder: Path, method: str, session: PreparedSession, behavior: NDArray[Any]
) -> None:
    """Keep a method's decoding of the test time.

    `behavior` is (bins, dims) of the whole session, NaN where the method has no output.
    """
    test = slice(*session.splits["test"])
    decoded = behavior[test].astype(np.float32)
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(decoded).all(axis=1))
    arrays = {"decoded": np.where(usable[:, None], decoded, 0), "usable": usable}
    write_tensors(folder / session.session_id / f"{method}.safetensors", arrays)


def write_figures(run: Path, sessions: Sequence[PreparedSession], seeds: Sequence[int]) -> None:
    """Draw the figures of a run from its files: scores, learning curves, trajectories."""
    rows = read_results(run / "results.csv")
    figures = run / "figures"
    r2_figure(rows, figures / "r2_test.png")
    records: list[dict[str, Any]] = []
    for seed in seeds:
        for stage in TRAINED:
            path = run / f"seed{seed}" / stage / "metrics.jsonl"
            records += [{**record, "seed": seed} for record in read_metrics(path, stage)]
    loss_figure(records, figures / "loss.png")
    for session in sessions:
        trajectory = _trajectory(run / f"seed{seeds[0]}" / "decoded", session)
        trajectory_figure(trajectory, figures / f"trajectory_{session.session_id}.png")


def _trajectory(folder: Path, session: PreparedSession) -> Trajectory:
    start, stop = session.splits["test"]
    truth, known = session.behavior(start, stop)
    decoded = {}
    for method in SHOWN:
        path = folder / session.session_id / f"{method}.safetensors"
        if path.exists():
            arrays = read_tensors(path)
            decoded[method] = arrays["decoded"]
            known = known & arrays["usable"]
    return Trajectory(
        session.session_id,
        session.behavior_names,
        session.behavior_unit,
        session.bin_ms,
        start * session.bin_ms / 1000,
        truth,
        known,
        decoded,
    )
