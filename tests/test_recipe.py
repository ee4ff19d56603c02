"""Recipes: strict, complete, overridable, and hashed by the parts that matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_recipe import SMALL_RECIPE

from realm.recipe import Recipe, find_recipe, load_recipe, packaged_recipes, parse_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


def with_lines(recipe: Path, tmp_path: Path, **replaced: str) -> Path:
    """A copy of a recipe with texts replaced."""
    text = recipe.read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "changed.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_is_named_like_its_file(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert load_recipe(path.stem) == recipe
    assert parse_recipe(recipe.resolved(), "resolved") == recipe


def test_there_are_recipes() -> None:
    assert {"rodent_speed", "reach_sim"} <= set(packaged_recipes())


UNKNOWN = {
    "seedz": ("seedz", "the recipe", ["seeds", "signal", "pretrain"]),
    "signal.bin": ("signal.bin", "signal", ["bin_ms", "bands_hz", "line_hz"]),
    "data.smooth_s": ("data.smooth_s", "data", ["smoothing_s", "behavior"]),
    "pretrain.encoder.width": ("pretrain.encoder.width", "pretrain.encoder", ["d_model"]),
    "distill.optimization.lr": (
        "distill.optimization.lr",
        "distill.optimization",
        ["learning_rate", "steps"],
    ),
    "pretrain.mask.share": ("pretrain.mask.share", "pretrain.mask", ["hidden_share"]),
    "baselines.gru.width": ("baselines.gru.width", "baselines.gru", ["d_model", "layers"]),
    "labels.budget": ("labels.budget", "labels", ["budget_s"]),
    "calibrate.optimization.lr": (
        "calibrate.optimization.lr",
        "calibrate.optimization",
        ["learning_rate"],
    ),
}


@pytest.mark.parametrize("key", UNKNOWN)
def test_an_unknown_key_lists_the_valid_ones(key: str, small_recipe: Path) -> None:
    where, section, valid = UNKNOWN[key]
    with pytest.raises(ValueError, match="unknown key") as caught:
        load_recipe(small_recipe, [f"{key}=1"])
    text = str(caught.value)
    assert text.startswith(f"{small_recipe}: ")
    assert f"unknown key {where!r}; valid keys of {section} are: " in text
    listed = text.split("are: ")[1].split(", ")
    assert set(valid) <= set(listed)


def test_an_unknown_key_in_the_file_is_refused_too(small_recipe: Path, tmp_path: Path) -> None:
    path = with_lines(small_recipe, tmp_path, **{"window_s = 2.0": "windows = 2.0"})
    with pytest.raises(ValueError, match=r"changed\.toml: .*'data\.windows'.*window_s"):
        load_recipe(path)


WRONG = {
    "distill.optimization.steps='many'": "distill.optimization.steps",
    "distill.optimization.steps=0": "distill.optimization.steps",
    "distill.optimization.learning_rate=-1": "distill.optimization.learning_rate",
    "distill.augmentation.channel_dropout=1.5": "distill.augmentation.channel_dropout",
    "seeds=[]": "seeds",
    "seeds=[1, 1]": "different seeds",
    "seeds=3": "seeds",
    "data.target='jump'": "data.target",
    "data.behavior=7": "data.behavior",
    "signal.preset='fast'": "signal",
    "signal.bin_ms=-1": "bin_ms",
    "signal.bin_ms='wide'": "signal.bin_ms",
    "baselines.methods=['magic']": "baselines.methods",
    "labels.budget_s='some'": "labels.budget_s",
    "pretrain=5": "pretrain",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_value_that_does_not_fit_is_named(override: str, small_recipe: Path) -> None:
    with pytest.raises(ValueError, match=WRONG[override].replace(".", r"\.")) as caught:
        load_recipe(small_recipe, [override])
    assert str(caught.value).startswith(f"{small_recipe}: ")
    assert type(caught.value) is ValueError


def test_a_missing_key_is_named(small_recipe: Path, tmp_path: Path) -> None:
    path = with_lines(small_recipe, tmp_path, **{'behavior = "behavior/Position/hand"\n': ""})
    with pytest.raises(ValueError, match=r"changed\.toml: the key 'data\.behavior' is missing"):
        load_recipe(path)


def test_overrides_are_toml_values_or_text(small_recipe: Path) -> None:
    plain = load_recipe(small_recipe)
    recipe = load_recipe(
        small_recipe,
        [
            "distill.optimization.steps=17",
            "distill.lookahead_ms=40.0",
            "seeds=[4, 5]",
            "data.lfp=processing/ecephys/LFP/x",
            "data.target=speed",
            "labels.budget_s=30",
            "baselines.gru.learning_rate=1e-3",
            "signal.slow_hz=[0.5, 20.0]",
        ],
    )
    assert recipe.distill.optimization.steps == 17
    assert recipe.distill.optimization.batch_size == plain.distill.optimization.batch_size
    assert recipe.distill.lookahead_ms == 40
    assert recipe.seeds == [4, 5]
    assert recipe.data.lfp == "processing/ecephys/LFP/x"
    assert recipe.data.target == "speed"
    assert recipe.labels.budget_s == 30
    assert recipe.baselines.gru.learning_rate == 1e-3
    assert recipe.signal.slow_hz == (0.5, 20.0)
    assert load_recipe(small_recipe) == plain


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("name.more=3", "'name' is a value, not a section"),
    ],
)
def test_an_override_that_is_none_is_refused(override: str, said: str, small_recipe: Path) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        load_recipe(small_recipe, [override])
    assert f"--set {override}" in str(caught.value)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.*one of .*reach_sim.*Check the path"):
        find_recipe("nowhere")
    (tmp_path / "broken.toml").write_text("name = \nseeds")
    with pytest.raises(ValueError, match=r"broken\.toml: expected a TOML recipe.*line 1"):
        load_recipe(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\x80\x04\xff")
    with pytest.raises(ValueError, match=r"binary\.toml: expected a TOML recipe"):
        load_recipe(tmp_path / "binary.toml")


def fingerprints(recipe: Recipe) -> dict[str, str]:
    parts = {"data": ("data", "signal"), "teacher": ("data", "signal", "labels", "pretrain")}
    return {
        name: recipe.fingerprint(*chosen, seed=0, data_hash="d") for name, chosen in parts.items()
    }


def test_a_fingerprint_changes_with_its_parts_only(small_recipe: Path) -> None:
    plain = fingerprints(load_recipe(small_recipe))
    same = ["distill.optimization.steps=9", "seeds=[1]", "name='other'", "baselines.gru.layers=2"]
    assert fingerprints(load_recipe(small_recipe, same)) == plain
    teacher = fingerprints(load_recipe(small_recipe, ["pretrain.task_weight=0.1"]))
    assert teacher["data"] == plain["data"]
    assert teacher["teacher"] != plain["teacher"]
    data = fingerprints(load_recipe(small_recipe, ["signal.smoothing_ms=60.0"]))
    assert data["data"] != plain["data"]
    assert data["teacher"] != plain["teacher"]
    recipe = load_recipe(small_recipe)
    seeds = {recipe.fingerprint("data", seed=seed) for seed in range(3)}
    assert len(seeds) == 3


def test_a_feature_of_another_kind_is_chosen_by_a_table(tmp_path: Path) -> None:
    path, plain = tmp_path / "own.toml", find_recipe("reach_sim")
    table = '[signal.features.rough]\nkind = "line_length"\nband_hz = [5, 100]\nwindow_ms = 20\n'
    path.write_text(f"{plain.read_text()}\n{table}")
    recipe = load_recipe(path)
    assert recipe.signal.features == {
        "rough": {"kind": "line_length", "band_hz": (5.0, 100.0), "window_ms": 20}
    }
    assert parse_recipe(recipe.resolved(), "resolved") == recipe
    assert recipe.fingerprint("signal") != load_recipe(plain).fingerprint("signal")
    assert "features" not in load_recipe(plain).resolved()["signal"]  # as before there were any
    with pytest.raises(ValueError, match=r"features\.rough.*kind"):
        load_recipe(plain, ["signal.features.rough.band_hz=[1, 2]"])


def test_spans_of_version_0_1_are_read_in_ms(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(SMALL_RECIPE.replace("[pretrain]", "[pretrain]\nmask = { span_bins = [3, 7] }"))
    assert load_recipe(path).pretrain.mask.span_ms == (60.0, 140.0)  # of 20 ms each
    path.write_text(SMALL_RECIPE.replace("[pretrain]", '[pretrain]\nmask = { span_bins = "x" }'))
    with pytest.raises(ValueError, match=r"span_bins.*span_ms"):
        load_recipe(path)
