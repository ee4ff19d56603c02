"""What a person looks at after a run: decoded behavior, R² per session, learning curves."""

from __future__ import annotations

from realm.report.learning_curves import loss_figure, read_metrics
from realm.report.session_scores import r2_figure
from realm.report.trajectories import Trajectory, trajectory_figure

__all__ = ["Trajectory", "loss_figure", "r2_figure", "read_metrics", "trajectory_figure"]
