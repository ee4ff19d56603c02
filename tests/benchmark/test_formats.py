"""The benchmark takes recordings of any format, in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import edfio
import numpy as np
import pybv
import pytest

from realm.benchmark.command import benchmark
from realm.benchmark.part import select
from realm.recipe import Recipe, parse_recipe
from realm.simulation.simulate import SimulatedSession, SimulationConfig, simulate

ENCODER = {"layers": 1, "d_model": 8, "d_state": 4, "headdim": 8}
TINY = {"steps": 1, "batch_size": 1, "warmup_steps": 1, "validate_every": 1}
RATE = 200.0
START = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)


def recipe() -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "seeds": [0],
            "signal": {"preset": "slow", "bin_ms": 40.0, "reference": "none"},
            "data": {"behavior": "hand", "target": "velocity", "window_s": 1.0},
            "pretrain": {"encoder": ENCODER | {"d_model": 16}, "optimization": TINY},
            "distill": {"encoder": ENCODER, "optimization": TINY},
            "baselines": {"methods": ["ridge"], "ridge": {"lag_s": 0.08}},
            "benchmark": {"label_s": [5.0], "lookahead_ms": [40.0]},
        },
        "tiny",
    )


def at_samples(session: SimulatedSession) -> np.ndarray:
    """The hand at the time of every sample, (samples, 2) metres."""
    times = np.arange(len(session.lfp_uv)) / RATE
    known = session.behavior
    columns = [np.interp(times, known.timestamps_s, known.values[:, i]) for i in (0, 1)]
    return np.stack(columns, axis=1)


def write_npz(folder: Path, name: str, session: SimulatedSession, start: datetime) -> None:
    np.savez(folder / f"{name}.npz", lfp=session.lfp_uv, hand=at_samples(session))
    (folder / "recording.toml").write_text(
        'subject = "rat"\nsamples = { array = "lfp", unit = "uV", rate_hz = 200 }\n'
        'behavior.hand = { array = "hand", unit = "m", rate_hz = 200 }\n'
    )


def write_edf(folder: Path, name: str, session: SimulatedSession, start: datetime) -> None:
    signals = [
        edfio.EdfSignal(column, RATE, label=f"A{i}", physical_dimension="uV")
        for i, column in enumerate(session.lfp_uv.T)
    ]
    hand = at_samples(session)[:, 0]
    signals.append(edfio.EdfSignal(hand, RATE, label="hand", physical_dimension="m"))
    about = edfio.Recording(startdate=start.date())
    edfio.Edf(signals, recording=about, starttime=start.time()).write(folder / f"{name}.edf")
    (folder / "recording.toml").write_text('subject = "rat"\n')


def write_brainvision(folder: Path, name: str, session: SimulatedSession, start: datetime) -> None:
    pybv.write_brainvision(
        data=np.vstack([session.lfp_uv.T * 1e-6, at_samples(session).T * 1e-3]),
        sfreq=RATE,
        ch_names=["A0", "A1", "A2", "A3", "x", "y"],
        fname_base=name,
        folder_out=folder,
        meas_date=start,
        unit="µV",
        resolution=0.01,
    )
    (folder / "recording.toml").write_text(
        'subject = "rat"\nbehavior.hand = { channels = ["x", "y"], gain = 1e3, unit = "m" }\n'
    )


Write = Callable[[Path, str, SimulatedSession, datetime], None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "last"), [(write_npz, "rat_b"), (write_edf, "rat_a"), (write_brainvision, "rat_a")]
)
def test_labels_are_few_in_the_session_that_was_recorded_last(
    tmp_path: Path, write: Write, last: str
) -> None:
    config = SimulationConfig(
        subjects=1, days=2, channels=4, duration_s=52.0, sampling_rate_hz=RATE, dead_channels=0
    )
    (tmp_path / "data").mkdir()
    for day, (name, session) in enumerate(zip(("b", "a"), simulate(config), strict=True)):
        write(tmp_path / "data", name, session, START + timedelta(days=day))
    outcome = benchmark(recipe(), tmp_path / "data", tmp_path / "out", only=["labels"])
    rows = select(outcome.rows, "labels")
    assert {row.method for row in rows} >= {"ridge", "student"}
    assert {row.session for row in rows if row.label_s == 5.0} == {last}
    assert (tmp_path / "out" / "benchmark.md").exists()
