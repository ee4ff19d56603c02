"""The step of a student as an ONNX graph computes what the runtime computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streaming.streaming_cases import bundle
from typer.testing import CliRunner

from realm import cli
from realm.decoder import onnx_step
from realm.decoder.onnx_step import build_step, check_step, write_step
from realm.streaming import Bundle
from realm.streaming.runtime import make_student

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

SIZES = {
    "two layers": {},
    "other sizes": {"layers": 3, "d_model": 12, "d_state": 5, "headdim": 9, "expand": 3},
    "one layer, no convolution": {"layers": 1, "conv_kernel": 1},
}


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_is_the_runtime(size: str) -> None:
    made = bundle(lookahead_bins=2, **SIZES[size])
    checked = check_step(build_step(made), made, bins=1000)
    assert checked.bins == 1000
    assert 0 < checked.behavior_error < 1e-4
    assert checked.state_error < 1e-4


def test_a_stream_decodes_as_with_the_bundle(tmp_path: Path) -> None:
    made = bundle()
    write_step(made, tmp_path / "step.onnx")
    session = runtime.InferenceSession(tmp_path / "step.onnx")
    given = {each.name: np.zeros(each.shape, np.float32) for each in session.get_inputs()}
    features = 2 * np.random.default_rng(1).normal(size=(300, made.sizes.features))
    student = make_student(made.weights, made.sizes)  # float32, compiled
    expected, _ = student.step(features.astype(np.float32), student.initial_state())
    for bin_, behavior in zip(features.astype(np.float32), expected, strict=True):
        out = session.run(["behavior", "conv_next", "ssm_next"], given | {"features": bin_})
        given = {"conv": out[1], "ssm": out[2]}
        np.testing.assert_allclose(out[0], behavior, rtol=1e-4, atol=1e-4)


def test_the_file_says_what_goes_in_and_comes_out(tmp_path: Path) -> None:
    made = bundle(lookahead_bins=3)
    write_step(made, tmp_path / "step.onnx")
    model = onnx.load(tmp_path / "step.onnx")
    facts = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    assert facts["bundle_sha256"] == made.sha256
    assert (facts["lookahead_bins"], facts["behavior_unit"]) == (3, "m/s")
    assert facts["behavior_names"] == ["x", "y"]
    assert len(facts["channel_names"]) * len(facts["band_names"]) == made.sizes.features
    assert "not in this graph" in facts["features"]
    assert [each.name for each in model.graph.input] == ["features", "conv", "ssm"]
    assert [each.name for each in model.graph.output] == ["behavior", "conv_next", "ssm_next"]


def test_a_graph_that_computes_something_else_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = bundle(), bundle()
    weights = dict(other.weights)
    weights["layers.1.D"] = weights["layers.1.D"] * 1.01
    wrong = build_step(Bundle(**{**vars(other), "weights": weights}))
    monkeypatch.setattr(onnx_step, "build_step", lambda _: wrong)
    with pytest.raises(ValueError, match="no file was written"):
        write_step(made, tmp_path / "step.onnx")
    assert not list(tmp_path.iterdir())


def test_nan_is_no_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = onnx_step.Checked(1000, float("nan"), 0.0)
    monkeypatch.setattr(onnx_step, "check_step", lambda *_: absent)
    with pytest.raises(ValueError, match="no file was written"):
        write_step(bundle(), tmp_path / "step.onnx")


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"realm-lfp\[onnx\]"):
        build_step(bundle())


def test_the_module_loads_without_onnx() -> None:
    code = (
        "import sys, realm.decoder.onnx_step\n"
        "print([m for m in ('onnx', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_writes_the_graph_beside_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bundled(model: Path, out: Path, session: str | None, quorum: float) -> Bundle:
        made = bundle(quorum=quorum)
        made.save(out)
        return made

    monkeypatch.setattr("realm.decoder.bundling.bundle_model", bundled)
    out = tmp_path / "day.7"
    done = CliRunner().invoke(cli.app, ["bundle", "model", "--out", str(out), "--onnx"])
    assert done.exit_code == 0, done.output
    assert "1000 random bins" in done.output
    made = Bundle.load(out)  # nothing foreign in the folder
    assert check_step((tmp_path / "day.7.onnx").read_bytes(), made).behavior_error < 1e-4
