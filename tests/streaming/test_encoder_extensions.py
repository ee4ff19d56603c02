"""An encoder of another package: trained, saved, bundled, certified and run live by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_recipe import SMALL_RECIPE
from typer.testing import CliRunner

from realm import Decoder, cli, extensions
from realm.decoder.bundling import bundle_decoder
from realm.recipe import load_recipe, parse_recipe
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.runtime import BinByBin

# The encoder of the package outside, as two modules of a package of its own.
PACKAGE = Path(__file__).parents[1] / "outside_package" / "lab_extras"
RIG = (PACKAGE / "leaky_rig.py").read_text().replace("lab_extras.leaky:", "leaky_training:")
TRAINING = (PACKAGE / "leaky.py").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package lies."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "leaky-1.0.dist-info"
    info.mkdir()
    (folder / "leaky_rig.py").write_text(RIG)
    (folder / "leaky_training.py").write_text(TRAINING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[realm.encoders]\nleaky = leaky_rig:LEAKY\n")
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()


@pytest.fixture(scope="module")
def made(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A recording, and the folder of a decoder trained on it."""
    folder = tmp_path_factory.mktemp("leaky")
    (folder / "small.toml").write_text(SMALL_RECIPE)
    kind = "distill.encoder={kind='leaky', d_model=12, keep=0.7}"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        extensions.found.cache_clear()
        recipe = load_recipe(folder / "small.toml", [kind, "distill.lookahead_ms=40"])
        simulated = simulate_session(SimulationConfig(channels=4, duration_s=70.0, seed=2), 0)
        file = write_session(folder / "day0.nwb", simulated)
        decoder = Decoder(recipe, folder=folder / "training").fit([file])
        decoder.save_pretrained(folder / "model")
        bundle_decoder(decoder).save(folder / "bundle")
        yield file, folder
    extensions.found.cache_clear()


def test_the_saved_decoder_names_it_and_decodes_the_same(
    installed: None, made: tuple[Path, Path]
) -> None:
    file, folder = made
    manifest = json.loads((folder / "model" / "decoder.json").read_text())
    encoder = manifest["recipe"]["distill"]["encoder"]
    assert encoder == {"kind": "leaky", "d_model": 12, "keep": 0.7}
    decoder = Decoder.from_pretrained(folder / "model")
    assert type(decoder.student_.encoder).__name__ == "Leaky"
    assert np.isfinite(decoder.predict(file)[:-2]).all()


def test_the_rig_decodes_what_the_trained_decoder_decodes(
    installed: None, made: tuple[Path, Path]
) -> None:
    folder = made[1]
    facts = json.loads((folder / "bundle" / "bundle.json").read_text())
    assert facts["student"] == {"kind": "leaky", "d_model": 12, "keep": 0.7}
    bundle = Bundle.load(folder / "bundle")
    decoder = Decoder.from_pretrained(folder / "model")
    decoder.student_.double()
    rng = np.random.default_rng(0)
    x = 1e-5 * np.cumsum(rng.normal(size=(4000, 4)), axis=0)
    exact = decoder.predict(x)
    rig = StreamingDecoder(bundle, "float64")
    whole = rig.forward(x)
    heard = ~whole.quality.neutral
    assert heard.any()
    n = len(whole.behavior)
    np.testing.assert_allclose(whole.behavior[heard], exact[:n][heard], rtol=1e-9, atol=1e-9)
    single = StreamingDecoder(bundle)
    state, parts = single.initial_state(), []
    for chunk in np.array_split(x, 37):
        state = single.state_from_bytes(single.state_to_bytes(state))
        decoded, state = single.step(chunk, state)
        parts.append(decoded.behavior)
    np.testing.assert_array_equal(np.concatenate(parts), single.forward(x).behavior)


def test_the_rig_needs_no_torch_for_it(site: Path, made: tuple[Path, Path]) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from realm.streaming import StreamingDecoder\n"
        f"StreamingDecoder.load({str(made[1] / 'bundle')!r})\n"
        "print([name for name in ('torch', 'pydantic', 'leaky_training') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_it_is_certified(
    installed: None,
    site: Path,
    made: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    arguments = ["certify", str(made[1] / "bundle"), "--out", str(tmp_path), "--quick"]
    CliRunner().invoke(cli.app, arguments)
    content = json.loads((tmp_path / "certificate.json").read_text())
    failing = {check["part"] for check in content["checks"] if not check["passed"]}
    assert failing <= {"Real pace", "Endurance", "Start"}  # what a busy machine may fail
    assert content["bundle"]["student"] == "leaky, d_model 12, keep 0.7"


def test_without_its_package_bundle_and_decoder_are_refused_by_name(
    made: tuple[Path, Path],
) -> None:
    extensions.found.cache_clear()
    paths, sys.path[:] = list(sys.path), [p for p in sys.path if "site" not in Path(p).name[:4]]
    try:
        with pytest.raises(ValueError, match=r"bundle\.json.*mamba2.*'leaky'.*install"):
            Bundle.load(made[1] / "bundle")
        with pytest.raises(ValueError, match=r"decoder\.json.*distill\.encoder.*'leaky'"):
            Decoder.from_pretrained(made[1] / "model")
    finally:
        sys.path[:] = paths
        extensions.found.cache_clear()


def test_wrong_arrays_and_settings_in_a_bundle_are_refused(
    installed: None, made: tuple[Path, Path]
) -> None:
    bundle = Bundle.load(made[1] / "bundle")
    parts = {name: getattr(bundle, name) for name in Bundle.__dataclass_fields__}
    lacking = {name: a for name, a in bundle.weights.items() if name != "mix.weight"}
    with pytest.raises(ValueError, match=r"mix\.weight is missing"):
        Bundle(**parts | {"weights": lacking})
    with pytest.raises(ValueError, match=r"mix\.weight as float64 of shape \(12, 12\)"):
        Bundle(**parts | {"weights": lacking | {"mix.weight": np.zeros((12, 3))}})
    with pytest.raises(ValueError, match=r"keep as a finite number, got 'much'"):
        type(bundle.sizes)(12, 2, 12, "much")


def test_a_misspelt_setting_or_kind_is_told_with_the_right_ones(installed: None) -> None:
    content = load_recipe("reach_sim").resolved()
    content["distill"]["encoder"] = {"kind": "leaky", "kepe": 0.5}
    with pytest.raises(ValueError, match=r"distill\.encoder\.kepe.*valid keys.*d_model, keep"):
        parse_recipe(content, "mine.toml")
    content["distill"]["encoder"] = {"kind": "laeky"}
    with pytest.raises(ValueError, match=r"distill\.encoder.*mamba2, gru.*leaky.*got 'laeky'"):
        parse_recipe(content, "mine.toml")
    content["distill"]["encoder"] = {"kind": "leaky"}
    content["pretrain"]["encoder"] = {"kind": "leaky"}
    assert parse_recipe(content, "mine.toml").distill.encoder.d_model == 16


def test_a_graph_is_refused_by_name(installed: None, made: tuple[Path, Path]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from realm.decoder.onnx_step import build_step

    with pytest.raises(ValueError, match=r"'mamba2'.*got 'leaky'"):
        build_step(Bundle.load(made[1] / "bundle"))


def test_the_encoder_of_old_recipes_and_bundles_is_mamba2() -> None:
    from streaming_cases import bundle

    plain, said = load_recipe("reach_sim"), load_recipe("reach_sim").resolved()
    said["distill"]["encoder"]["kind"] = "mamba2"
    assert parse_recipe(said, "mine.toml") == plain
    assert "kind" not in plain.resolved()["distill"]["encoder"]
    assert b'"kind"' not in bundle().files["bundle.json"]


def test_an_encoder_without_a_rig_step_trains_but_is_not_bundled(
    tmp_path: Path, made: tuple[Path, Path]
) -> None:
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    recipe = load_recipe(tmp_path / "small.toml", ["distill.encoder={kind='gru', d_model=8}"])
    decoder = Decoder(recipe, folder=tmp_path / "training").fit([made[0]])
    decoder.save_pretrained(tmp_path / "model")
    again = Decoder.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(made[0]), decoder.predict(made[0]))
    with pytest.raises(ValueError, match=r"'gru'.*rig"):
        bundle_decoder(again)


class Adding:
    """Adds up its inputs; infinite from a sum above 10 on."""

    def initial_state(self) -> np.ndarray:
        return np.zeros(1, np.float32)

    def step(self, features: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = state + features[:1]
        return np.array([after[0], np.inf if after[0] > 10 else 0.0]), after


def test_a_row_that_is_not_finite_is_nan_throughout_and_the_state_begins_anew() -> None:
    student, x = BinByBin(Adding(), 2, np.float32), np.full((5, 3), 4.0)
    state = student.initial_state()
    found, after = student.step(x, state)
    np.testing.assert_array_equal(found[:, 0], [4, 8, np.nan, 4, 8])
    np.testing.assert_array_equal(found[:, 1], [0, 0, np.nan, 0, 0])
    assert state == 0
    assert after == 8
