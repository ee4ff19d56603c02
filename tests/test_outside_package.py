"""A package outside this one adds one of each thing and uses them from the command line.

The package is `tests/outside_package`; its entry points are all that joins the two.
"""

from __future__ import annotations

import configparser
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_recipe import SMALL_RECIPE

from realm import extensions
from realm.simulation.simulate import SimulationConfig, simulate

ROOT = Path(__file__).parents[1]
OUTSIDE = Path(__file__).parent / "outside_package"
RECIPE = (
    SMALL_RECIPE.replace(
        'preset = "slow"',
        'preset = "slow"\n'
        'features = { roughness = { kind = "line_length", band_hz = [1, 100], window_ms = 20 } }',
    )
    .replace(
        "[distill]\nencoder = { layers = 1, d_model = 16, d_state = 8, headdim = 16 }",
        '[distill]\nencoder = { kind = "leaky", d_model = 12 }\nlosses = { smooth = 0.1 }',
    )
    .replace(
        "[baselines]\ngru = { d_model = 16 }",
        '[baselines]\nmethods = ["ridge", "mean"]\nmean = { factor = 1.0 }',
    )
)


def realm(*arguments: object, cwd: Path) -> str:
    """Run a command as a shell would; its output."""
    path = os.pathsep.join([str(OUTSIDE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "realm", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of the foreign format and a run on them with everything foreign."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "recordings").mkdir()
    small = SimulationConfig(subjects=1, days=2, duration_s=70.0, channels=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(OUTSIDE)
        from lab_extras.lab_format import write_lab

        for session in simulate(small):
            write_lab(folder / "recordings" / f"{session.session_id}.lab", session)
    (folder / "small.toml").write_text(RECIPE)
    realm("run", "small.toml", "--data", "recordings", "--out", "run", "--jobs", 1, cwd=folder)
    realm("bundle", "run/seed0/model", "--session", "simA_day0", "--out", "bundle", cwd=folder)
    return folder


def test_the_format_is_inspected(folder: Path) -> None:
    assert "FIT" in realm("inspect", "recordings/simA_day0.lab", cwd=folder)


def test_the_method_is_scored_and_the_loss_is_logged(folder: Path) -> None:
    with (folder / "run" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["method"] for row in rows} == {"ridge", "mean", "student"}
    log = (folder / "run" / "seed0" / "student" / "metrics.jsonl").read_text()
    assert '"smooth"' in log
    assert "mean" in (folder / "run" / "report.html").read_text()


def test_feature_and_encoder_reach_the_rig_and_the_sink_gets_every_row(folder: Path) -> None:
    manifest = (folder / "bundle" / "bundle.json").read_text()
    assert "line_length" in manifest
    assert "leaky" in manifest
    realm(
        "export",
        "recordings/simA_day0.lab",
        "--model",
        "bundle",
        "--out",
        "day0.safetensors",
        cwd=folder,
    )
    source = "replay:day0.safetensors?speed=max"
    realm("live", "bundle", "--source", source, "--sink", "lines:day0.jsonl", cwd=folder)
    rows = [json.loads(line) for line in (folder / "day0.jsonl").read_text().splitlines()]
    assert len(rows) >= 70 / 0.02
    assert all(len(row) == 2 for row in rows)
    realm(
        "decode",
        "recordings/simA_day0.lab",
        "--model",
        "run/seed0/model",
        "--out",
        "day0.csv",
        cwd=folder,
    )
    offline = [line.split(",")[1:] for line in (folder / "day0.csv").read_text().splitlines()[1:]]
    for live, other in list(zip(rows, offline, strict=False))[100:3000:100]:
        assert live == pytest.approx([float(value) for value in other], rel=1e-3, abs=1e-3)


def test_the_check_is_part_of_the_certificate(folder: Path) -> None:
    realm("certify", "bundle", "--out", "certificate", "--quick", cwd=folder)
    certificate = (folder / "certificate" / "certificate.json").read_text()
    assert '"Bounded"' in certificate
    assert "lab_extras" in certificate


def test_without_the_package_the_bundle_is_refused_by_name(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "realm", "live", "bundle", "--source", "replay:x.safetensors"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert re.search("leaky|line_length", done.stderr + done.stdout)
    assert "Traceback" not in done.stderr


def test_the_readme_names_every_group_that_is_used_here() -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read(OUTSIDE / "lab_extras-1.0.dist-info" / "entry_points.txt")
    used = set(entry_points.sections())
    table = set(re.findall(r"`(realm\.[a-z]+)`", (ROOT / "README.md").read_text()))
    known = {f"realm.{group}" for group in extensions.GROUPS}
    assert used <= table <= known
    assert known - used == {"realm.sources", "realm.datasets"}  # tested with their own kinds
