"""Training curves reach TensorBoard where a recipe says so, and nothing where it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from realm.recipe import load_recipe
from realm.runs.run import run
from realm.training.tracking import TrackingConfig, tracked

TENSORBOARD = TrackingConfig(trackers=("tensorboard",))


def silent(title: str, steps: int):
    return lambda step, figures: None


def test_off_by_default(small_recipe: Path, tmp_path: Path) -> None:
    assert load_recipe(small_recipe).tracking.trackers == ()
    with tracked(TrackingConfig(), silent, "name", tmp_path, {}) as training:
        assert training is silent


@pytest.mark.parametrize("name", ["abacus", "mlflow"])
def test_a_tracker_that_does_not_exist_is_refused(name: str, small_recipe: Path) -> None:
    with pytest.raises(ValueError, match=r"tracking\.trackers.*tensorboard"):
        load_recipe(small_recipe, [f'tracking.trackers=["{name}"]'])


def test_where_tensorboard_is_not_installed_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(ValueError, match=r"tensorboard.*realm-lfp\[track\]"),
        tracked(TENSORBOARD, silent, "name", tmp_path, {}),
    ):
        pass


def test_tensorboard_holds_what_was_logged(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    changes = ['tracking.trackers=["tensorboard"]', 'baselines.methods=["scratch"]', "seeds=[0, 1]"]
    run(load_recipe(small_recipe, changes), recordings[0].parent, tmp_path / "run")
    for seed in (0, 1):
        written = accumulator.EventAccumulator(
            str(tmp_path / "run" / "tracking" / f"small-seed{seed}")
        )
        written.Reload()
        tags = set(written.Tags()["scalars"])
        for stage in ("teacher", "student", "scratch"):
            assert [event.step for event in written.Scalars(f"{stage}/train/loss")] == [
                *range(1, 7)
            ]
            assert [e.step for e in written.Scalars(f"{stage}/validation/score")] == [3, 6]
        assert "student/validation/r2" in tags


def test_settings_and_figures_of_a_training_are_kept(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told: list[int] = []
    settings = {"signal": {"bin_ms": 20.0}}
    with tracked(TENSORBOARD, _telling(told), "mine/seed0", tmp_path, settings) as training:
        training("seed 0 teacher", 2)(1, {"loss": 0.5})
        training("seed 0 student", 2)(2, {"score": 0.25})
    assert told == [1, 2]
    written = accumulator.EventAccumulator(str(tmp_path / "mine-seed0"))
    written.Reload()
    (loss,) = written.Scalars("teacher/train/loss")
    (score,) = written.Scalars("student/validation/score")
    assert (loss.step, loss.value, score.step, score.value) == (1, 0.5, 2, 0.25)
    (start,) = (
        content
        for tag, content in written.summary_metadata.items()
        if tag == "_hparams_/session_start_info"
    )
    assert b"signal.bin_ms" in start.plugin_data.content
    assert b"20.0" in start.plugin_data.content


def _telling(told: list[int]):
    return lambda title, steps: lambda step, figures: told.append(step)
