from __future__ import annotations

import json
import math

import numpy as np
import pytest
from evaluation_cases import row, run_rows, training_records, trajectory
from matplotlib import image

from realm.report.learning_curves import loss_figure, read_metrics
from realm.report.session_scores import r2_figure
from realm.report.style import spread_labels
from realm.report.trajectories import _excerpt, trajectory_figure


def ink(path):
    """Share of the picture that is not white; fails if it is not a picture of sensible size."""
    pixels = image.imread(path)[..., :3]
    assert 300 < pixels.shape[0] < 6000
    assert 500 < pixels.shape[1] < 4000
    return float((pixels < 0.95).any(axis=-1).mean())


@pytest.mark.parametrize(("dims", "unit"), [(1, "cm/s"), (2, "cm/s"), (2, "cm"), (3, "")])
def test_trajectories(tmp_path, dims, unit):
    trajectory_figure(trajectory(dims, unit), tmp_path / "trajectory.png")
    assert ink(tmp_path / "trajectory.png") > 0.02


def test_trajectories_of_nothing_known_and_of_a_short_span(tmp_path):
    shown = trajectory(n=900)
    trajectory_figure(shown._replace(mask=np.zeros(900, bool)), tmp_path / "unknown.png")
    short = trajectory(n=150, methods=("student",))
    trajectory_figure(short, tmp_path / "short.png")
    assert ink(tmp_path / "short.png") > 0.02


def test_the_excerpt_is_chosen_from_the_true_behavior_alone():
    shown = trajectory()
    shown.truth[2000:2600] *= 5.0
    chosen = _excerpt(shown, 10.0)
    assert 192.0 + 40.0 - 5.0 <= chosen.start_s <= 192.0 + 52.0
    other = shown._replace(decoded={"student": np.zeros_like(shown.truth)})
    assert _excerpt(other, 10.0).start_s == chosen.start_s
    assert np.isnan(_excerpt(shown, 60.0).truth[700:800]).all()


@pytest.mark.parametrize("sessions", [1, 9])
def test_r2_per_session(tmp_path, sessions):
    rows = run_rows([f"day{i}" for i in range(sessions)])
    rows += [row("ridge", "failed", r2=-7.0), row("kalman", "still", r2=math.nan)]
    r2_figure(rows, tmp_path / "r2.png")
    r2_figure(rows, tmp_path / "validation.png", split="validation")
    assert ink(tmp_path / "r2.png") > 0.02


def test_r2_that_is_undefined_everywhere(tmp_path):
    r2_figure(run_rows(("still",), still=("still",)), tmp_path / "r2.png")
    with pytest.raises(ValueError, match="test split"):
        r2_figure([row(split="validation")], tmp_path / "none.png")


def test_learning_curves(tmp_path):
    loss_figure(training_records(seeds=(0, 1)), tmp_path / "loss.png")
    assert ink(tmp_path / "loss.png") > 0.02
    loss_figure(training_records(("gru",), steps=1), tmp_path / "one_step.png")
    loss_figure([{"stage": "a", "step": 1, "split": "train", "loss": None}], tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"metrics\.jsonl"):
        loss_figure([], tmp_path / "none.png")


def test_metrics_survive_a_half_written_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "split": "train", "loss": 0.5}) + '\n{"step": 2, "spl')
    assert read_metrics(path, "teacher") == [
        {"stage": "teacher", "step": 1, "split": "train", "loss": 0.5}
    ]
    with pytest.raises(ValueError, match=r"missing\.jsonl"):
        read_metrics(tmp_path / "missing.jsonl")


def test_labels_keep_their_distance_and_order():
    placed = spread_labels([0.5, 0.51, 0.1, 0.52, 0.95], gap=0.1)
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-9
    assert placed[0] < placed[1] < placed[3]
    assert placed[2] == 0.1
