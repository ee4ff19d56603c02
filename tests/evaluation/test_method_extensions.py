"""A method of another package: in a recipe, trained, scored, costed, tuned and drawn by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import row

from realm import extensions
from realm.benchmark.trials import draw_trials, with_settings
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.methods.method import Design
from realm.methods.registry import BaselinesConfig, find, method, methods_of
from realm.progress import silent
from realm.recipe import Recipe, load_recipe, parse_recipe
from realm.report.style import colour, marker
from realm.runs.run import experiment_of
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session
from realm.stages import SeedRun

OUTSIDER = '''
"""The mean of the labelled training behavior, times a factor."""

import numpy as np
from pydantic import BaseModel

from realm.methods.complexity import Complexity
from realm.methods.experiment import Decoding
from realm.methods.method import Method, OneOf


class Settings(BaseModel, extra="forbid", frozen=True):
    factor: float = 1.0


def train(experiment, settings):
    def decode(session):
        values, known = session.behavior(*session.splits["train"])
        mean = settings.factor * values[known].mean(axis=0)
        return Decoding(np.tile(mean, (session.n_bins, 1)), mean.size, 0.0, 0.1, 0.0)

    return decode


MEAN = Method(
    "mean",
    train,
    Settings,
    lambda design, settings: Complexity(design.dims, 0),
    colour="#123456",
    marker="1",
    space={"baselines.mean.factor": OneOf((0.0, 1.0))},
)
'''


@pytest.fixture(autouse=True)
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with the method, as it lies in site-packages."""
    folder = tmp_path / "site"
    info = folder / "method_outsider-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "method_outsider.py").write_text(OUTSIDER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: method-outsider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[realm.methods]\nmean = method_outsider:MEAN\n")
    monkeypatch.syspath_prepend(folder)
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()
    sys.modules.pop("method_outsider", None)


def recipe(**baselines: object) -> Recipe:
    content = load_recipe("reach_sim").resolved()
    return parse_recipe(content | {"baselines": baselines}, "mine.toml")


def test_it_is_named_and_set_in_a_recipe_and_kept_in_it() -> None:
    plain = recipe(methods=["ridge", "mean"])
    assert plain.resolved()["baselines"]["mean"] == {"factor": 1.0}
    said = recipe(methods=["mean"], mean={"factor": 0.5})
    assert parse_recipe(said.resolved(), "again") == said
    assert said.baselines.mean.factor == 0.5
    assert "mean" not in BaselinesConfig().model_dump()  # nothing changes for who does not use it


def test_a_wrong_key_or_name_is_told_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"baselines\.mean\.facto.*valid keys.*factor"):
        recipe(methods=["mean"], mean={"facto": 0.5})
    with pytest.raises(ValueError, match=r"baselines\.maen.*valid keys.*ridge"):
        recipe(methods=["mean"], maen={})
    with pytest.raises(ValueError, match=r"ridge.*mean.*got 'maen'"):
        recipe(methods=["maen"])


def test_it_is_trained_scored_costed_tuned_and_drawn(tmp_path: Path) -> None:
    mine = recipe(methods=["mean"], mean={"factor": 0.5})
    simulated = simulate_session(SimulationConfig(channels=4, duration_s=70.0, seed=1), 0)
    file = write_session(tmp_path / "one.nwb", simulated)
    path = prepare_session(file, tmp_path / "prepared", mine.signal, mine.data)
    session = PreparedSession.load(path)
    job = SeedRun(mine, [path], tmp_path / "seed0", 0, silent())
    experiment = experiment_of(job, None, 0.0, None, 0.0)  # type: ignore[arg-type]
    decoded = method("mean")(experiment)(session)
    assert decoded.behavior.shape == (session.n_bins, len(session.behavior_names))
    other = experiment._replace(baselines=recipe(methods=["mean"]).baselines)
    assert other.fingerprint_of("mean") != experiment.fingerprint_of("mean")
    whole = method("mean")(other)(session).behavior
    np.testing.assert_array_equal(whole, 2 * decoded.behavior)

    found = find("mean")
    assert found is not None
    assert found.complexity is not None
    design = Design([session], mine.pretrain, mine.distill, 100, 2)
    assert found.complexity(design, found.settings_in(mine.baselines)).macs_per_bin == 2
    first, second = draw_trials(mine, "mean", 2, seed=0)
    assert first == {"baselines.mean.factor": 0.5}
    assert with_settings(mine, second).baselines.mean.factor in (0.0, 1.0)
    rows = [row(name) for name in ("teacher_probe", "student", "mean", "scratch")]
    assert methods_of(rows) == ["scratch", "mean", "student", "teacher_probe"]
    assert (colour("mean"), marker("mean")) == ("#123456", "1")
