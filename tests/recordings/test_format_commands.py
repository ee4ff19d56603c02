"""From a folder of BrainVision files to a decoder, its calibration and its decoding, by command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybv
import pytest
from typer.testing import CliRunner

from realm.cli import app
from realm.simulation.simulate import SimulationConfig, simulate

DESCRIPTION = """
subject = "P1"
behavior.hand = { channels = ["x", "y"], gain = 1e3, unit = "m" }
"""
SMALL = [
    "pretrain.optimization.steps=2",
    "distill.optimization.steps=2",
    "pretrain.encoder.layers=1",
    "distill.encoder.layers=1",
    'baselines.methods=["ridge"]',
    "calibrate.optimization.steps=2",
]


def done(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_brainvision_to_a_decoder(tmp_path: Path) -> None:
    """The hand is recorded by the amplifier, 1 mV for a metre."""
    config = SimulationConfig(
        subjects=1,
        days=3,
        duration_s=60,
        channels=4,
        dead_channels=0,
        sampling_rate_hz=250,
        behavior_rate_hz=50,
    )
    for day, session in enumerate(simulate(config)):
        known = session.behavior
        times = np.arange(len(session.lfp_uv)) / 250
        hand = [np.interp(times, known.timestamps_s, known.values[:, i]) * 1e-3 for i in (0, 1)]
        folder = tmp_path / ("new" if day == 2 else "known")
        pybv.write_brainvision(
            data=np.vstack([session.lfp_uv.T * 1e-6, *hand]),
            sfreq=250,
            folder_out=folder,
            ch_names=["a", "b", "c", "d", "x", "y"],
            fname_base=f"day{day}",
            unit="µV",
            resolution=0.01,
        )
        (folder / "recording.toml").write_text(DESCRIPTION)
    known, new, run = tmp_path / "known", tmp_path / "new" / "day2.vhdr", tmp_path / "run"
    recipe = tmp_path / "mine.toml"
    done("inspect", known / "day0.vhdr", "--recipe", recipe)
    done("run", recipe, "--data", known, "--out", run, *(w for s in SMALL for w in ("--set", s)))
    model = run / "seed0" / "model"
    done("decode", known / "day1.vhdr", "--model", model, "--out", tmp_path / "a.csv")
    done("calibrate", new, "--model", model, "--out", tmp_path / "calibrated")
    done("decode", new, "--model", tmp_path / "calibrated", "--out", tmp_path / "b.csv")
    for name in ("a.csv", "b.csv"):
        lines = (tmp_path / name).read_text().splitlines()
        assert lines[0] == "time_s,velocity_x,velocity_y"
        assert len(lines) == 3001
