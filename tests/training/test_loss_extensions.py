"""Further losses that a recipe adds by name, those of other packages among them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_recipe import SMALL_RECIPE

from realm import Decoder, extensions
from realm.recipe import Recipe, load_recipe
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session

LOSSES = '''
def smooth(given):
    """Squared steps of the latents from bin to bin."""
    steps = given.latent.diff(dim=1).square()
    return steps.sum(), steps.new_tensor(steps.numel())


def towards(given):
    """Squared distance to the teacher's latents, where there are some."""
    assert given.teacher is not None and given.reconstruction is None
    assert given.target.shape == given.behavior.shape
    assert given.known.shape == given.latent.shape[:2]
    return given.teacher.square().sum(), given.known.sum()
'''


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with two losses, as it lies in site-packages."""
    folder = tmp_path / "site"
    info = folder / "loss_outsider-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "loss_outsider.py").write_text(LOSSES)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loss-outsider\nVersion: 1.0\n")
    names = "smooth = loss_outsider:smooth\ntowards = loss_outsider:towards\n"
    (info / "entry_points.txt").write_text(f"[realm.losses]\n{names}")
    monkeypatch.syspath_prepend(folder)
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()
    sys.modules.pop("loss_outsider", None)


def recipe(folder: Path, *settings: str) -> Recipe:
    (folder / "small.toml").write_text(SMALL_RECIPE)
    return load_recipe(folder / "small.toml", settings)


def test_a_recipe_adds_losses_to_both_trainings(tmp_path: Path) -> None:
    simulated = simulate_session(SimulationConfig(channels=4, duration_s=70.0, seed=2), 0)
    file = write_session(tmp_path / "day0.nwb", simulated)
    student = "distill.losses={smooth=0.5, towards=0.1}"
    said = recipe(tmp_path, "pretrain.losses.smooth=0.25", student, "distill.lookahead_ms=40")
    Decoder(said, folder=tmp_path / "out").fit([file])
    for name, weights in (("teacher", {"smooth": 0.25}), ("student", said.distill.losses)):
        log = (tmp_path / "out" / "seed0" / name / "metrics.jsonl").read_text().splitlines()
        for line in map(json.loads, log):
            if line["split"] == "train":
                own = {"task": 0.5, "reconstruction": 1.0, **weights}
                if name == "student":
                    own |= {"task": 1.0, "alignment": 1.0}
                    del own["reconstruction"]
                total = sum(weight * line[loss] for loss, weight in own.items())
                assert line["loss"] == pytest.approx(total, rel=1e-5)


def test_without_further_losses_nothing_changes(tmp_path: Path) -> None:
    plain, more = recipe(tmp_path), recipe(tmp_path, "distill.losses.smooth=0.1")
    assert "losses" not in plain.resolved()["distill"]
    assert more.resolved()["distill"]["losses"] == {"smooth": 0.1}
    assert plain.fingerprint("distill") != more.fingerprint("distill")
    assert plain.fingerprint("pretrain") == more.fingerprint("pretrain")


def test_an_unknown_loss_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"distill\.losses.*smooth, towards.*got 'smoth'"):
        recipe(tmp_path, "distill.losses.smoth=0.1")
    with pytest.raises(ValueError, match=r"distill\.losses\.smooth.*-1"):
        recipe(tmp_path, "distill.losses.smooth=-1.0")
