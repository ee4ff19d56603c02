"""Tuning: one budget for all, the same draws every time, test time never looked at."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from realm.benchmark import tuning
from realm.benchmark.trials import (
    TrialResult,
    best,
    best_settings,
    draw_trials,
    override_lines,
    read_tuning,
    with_settings,
)
from realm.benchmark.tuning import WithoutTestBehavior, tune
from realm.data.sessions import PreparedSession
from realm.methods.method import OneOf
from realm.methods.networks import own_training
from realm.methods.registry import METHODS
from realm.recipe import Recipe, load_recipe, packaged_recipes


@pytest.fixture(scope="module")
def data(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    for path in recordings[:2]:
        (folder / path.name).symlink_to(path)
    return folder


def test_every_method_of_the_benchmark_has_a_space() -> None:
    assert all(method.space for method in METHODS.values())


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_whatever_is_drawn_fits_every_recipe(name: str) -> None:
    recipe = load_recipe(name)
    for method in METHODS:
        for settings in draw_trials(recipe, method, 8, seed=1):
            changed = with_settings(recipe, settings)
            assert override_lines(settings) == override_lines(
                draw_trials(changed, method, 1, seed=0)[0]
            )


def test_the_first_trial_is_the_recipe_and_more_trials_only_add() -> None:
    recipe = load_recipe("reach_sim")
    few, many = draw_trials(recipe, "gru", 3, seed=5), draw_trials(recipe, "gru", 6, seed=5)
    assert many[:3] == few
    assert with_settings(recipe, many[0]) == recipe
    assert len({json.dumps(settings) for settings in many}) == 6
    assert draw_trials(recipe, "gru", 3, seed=6)[1:] != few[1:]
    assert len(draw_trials(recipe, "ridge", 50, seed=0)) == 8  # no more to be had
    with pytest.raises(ValueError, match=r"one of ridge, .* got 0 of 'gru'"):
        draw_trials(recipe, "gru", 0, seed=0)


def test_a_baseline_trains_like_the_student_but_for_what_it_says() -> None:
    recipe = load_recipe("demo")
    settings = {"baselines.gru.learning_rate": 1e-3, "baselines.gru.noise": 0.7}
    ours = with_settings(recipe, settings).baselines.gru
    config = own_training(recipe.distill, ours)
    assert (config.optimization.learning_rate, config.augmentation.noise) == (1e-3, 0.7)
    assert config.augmentation.channel_dropout == recipe.distill.augmentation.channel_dropout
    assert config.optimization.steps == recipe.distill.optimization.steps
    assert own_training(recipe.distill, recipe.baselines.gru) == recipe.distill


def test_tuning_judges_on_validation_time_and_is_done_once(
    recipe: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    read = WithoutTestBehavior.behavior

    def watched(self, start, stop):
        values, mask = read(self, start, stop)
        known = start + np.flatnonzero(mask)
        assert not known.size or known.max() < self.splits["test"][0]
        seen.add(stop)
        return values, mask

    monkeypatch.setattr(WithoutTestBehavior, "behavior", watched)
    first = tune(recipe, data, tmp_path, ["ridge", "gru"], trials=2)
    assert seen
    expected = [("ridge", 0), ("ridge", 1), ("gru", 0), ("gru", 1)]
    assert [(r.method, r.trial) for r in first] == expected
    assert all(math.isfinite(r.validation_r2) and r.cpu_s > 0 for r in first)
    assert not list(tmp_path.rglob("teacher*"))  # neither method has one
    with (tmp_path / "tuning.csv").open() as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == ["method", "trial", "settings", "validation_r2", "cpu_s"]
    assert len(lines) == 5
    assert "test" not in {cell for line in lines for cell in line}

    again = tune(recipe, data, tmp_path, ["gru"], trials=2)  # nothing is trained again
    assert again == first[2:]
    kept = read_tuning(tmp_path / "tuning.csv")
    assert [r.method for r in kept] == ["ridge", "ridge", "gru", "gru"]
    page = (tmp_path / "tuning.md").read_text()
    assert "--set 'baselines.gru.learning_rate=" in page or best(first[2:]).trial == 0


def test_all_trials_of_a_student_share_the_recipes_teacher(
    recipe: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    pretrain = tuning.SeedRun.teacher
    monkeypatch.setattr(
        tuning.SeedRun, "teacher", lambda job: trained.append(job.recipe) or pretrain(job)
    )
    noise, weight = "distill.augmentation.noise", {"pretrain.task_weight": OneOf((0.1, 0.2))}
    student, probe = METHODS["student"], METHODS["teacher_probe"]
    space = {noise: student.space[noise]}
    monkeypatch.setitem(METHODS, "student", dataclasses.replace(student, space=space))
    monkeypatch.setitem(METHODS, "teacher_probe", dataclasses.replace(probe, space=weight))
    results = tune(recipe, data, tmp_path, ["student", "teacher_probe"], trials=2)
    assert len([found for found in trained if found == recipe]) >= 3
    assert len(list((tmp_path / "teachers").iterdir())) == 2  # one of them is the students'
    assert (tmp_path / "student" / "trial1" / "student" / "checkpoint.safetensors").exists()
    assert results[0].settings != results[1].settings


def test_the_behavior_of_test_time_is_hidden(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    path = tuning.prepare(recipe, data, tmp_path)[0]
    hidden, whole = WithoutTestBehavior.load(path), PreparedSession.load(path)
    test = hidden.splits["test"][0]
    values, mask = hidden.behavior(0, hidden.n_bins)
    expected, known = whole.behavior(0, whole.n_bins)
    assert not mask[test:].any()
    assert not values[test:].any()
    assert known[test:].any()
    np.testing.assert_array_equal(values[:test], expected[:test])
    np.testing.assert_array_equal(mask[:test], known[:test])


def test_the_best_trial_is_told_as_settings() -> None:
    rows = [
        TrialResult("gru", 0, {"baselines.gru.noise": None}, float("nan"), 1.0),
        TrialResult("gru", 1, {"baselines.gru.noise": 0.3}, 0.5, 2.0),
        TrialResult("gru", 2, {"baselines.gru.noise": 0.1}, 0.5, 3.0),
    ]
    assert best(rows).trial == 1
    said = best_settings(rows)
    assert "--set 'baselines.gru.noise=0.3'" in said
    assert "6.0 CPU s in 3 trials" in said


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tuning.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"tuning.csv: expected the columns method, trial"):
        read_tuning(tmp_path / "tuning.csv")
