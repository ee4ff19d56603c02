"""Training curves reach the trackers that a recipe names, and nothing where it names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from realm.recipe import load_recipe
from realm.runs.run import run
from realm.training.tracking import TrackingConfig, tracked

NAMES = ["tensorboard", "mlflow"]


def silent(title: str, steps: int):
    return lambda step, figures: None


def test_off_by_default(small_recipe: Path, tmp_path: Path) -> None:
    assert load_recipe(small_recipe).tracking.trackers == ()
    with tracked(TrackingConfig(), silent, "name", tmp_path, {}) as training:
        assert training is silent


def test_a_tracker_that_does_not_exist_is_refused(small_recipe: Path) -> None:
    with pytest.raises(ValueError, match=r"tracking\.trackers"):
        load_recipe(small_recipe, ['tracking.trackers=["abacus"]'])


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_that_is_not_installed_names_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realm.training.tracking.find_spec", lambda wanted: None)
    with pytest.raises(ValueError, match=rf"'{name}' is not.*realm-lfp\[track\]"):  # noqa: SIM117
        with tracked(TrackingConfig(trackers=(name,)), silent, "name", tmp_path, {}):
            pass


def test_tensorboard_holds_what_was_logged(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changes = ['tracking.trackers=["tensorboard"]', 'baselines.methods=["scratch"]', "seeds=[0, 1]"]
    run(load_recipe(small_recipe, changes), recordings[0].parent, tmp_path / "run")
    for seed in (0, 1):
        written = EventAccumulator(str(tmp_path / "run" / "tracking" / f"small-seed{seed}"))
        written.Reload()
        tags = set(written.Tags()["scalars"])
        for stage in ("teacher", "student", "scratch"):
            assert [event.step for event in written.Scalars(f"{stage}/train/loss")] == [
                *range(1, 7)
            ]
            assert [e.step for e in written.Scalars(f"{stage}/validation/score")] == [3, 6]
        assert "student/validation/r2" in tags


def test_mlflow_holds_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    config = TrackingConfig(trackers=("mlflow",))
    told: list[int] = []
    for seed in (0, 1):
        settings = {"signal": {"bin_ms": 20.0}}
        with tracked(config, _telling(told), f"mine/seed{seed}", tmp_path, settings) as training:
            training(f"seed {seed} teacher", 2)(1, {"loss": 0.5})
            training(f"seed {seed} student", 2)(2, {"score": 0.25})
    assert told == [1, 2, 1, 2]
    (first,) = mlflow.search_runs(
        search_all_experiments=True,
        output_format="list",
        filter_string="tags.mlflow.runName = 'mine/seed0'",
    )
    assert first.data.metrics == {"teacher/train/loss": 0.5, "student/validation/score": 0.25}
    assert first.data.params == {"signal.bin_ms": "20.0"}
    assert first.info.status == "FINISHED"


def _telling(told: list[int]):
    return lambda title, steps: lambda step, figures: told.append(step)
