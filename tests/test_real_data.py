"""Both published recipes on real recordings, shortened: complete, and the teacher learns.

The full runs differ in the number of sessions, steps and windows only.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
from real_recordings import real_data

from realm.decoder.decoder import Decoder
from realm.evaluation.results import ResultRow
from realm.files import read_json
from realm.recipe import load_recipe
from realm.runs.run import run

pytestmark = [pytest.mark.data, pytest.mark.slow]

SHORT = [
    "seeds=[0]",
    "pretrain.optimization.steps=50",
    "pretrain.optimization.validate_every=50",
    "pretrain.optimization.batch_size=6",
    "pretrain.optimization.warmup_steps=10",
    "distill.optimization.steps=12",
    "distill.optimization.validate_every=12",
    "distill.optimization.batch_size=8",
    "distill.optimization.warmup_steps=5",
]
SETS = {
    "rodent_speed": ("rodent_lfp", ("M851_140908t2rh.nwb", "hafting_11684_20020710.nwb")),
    "reach_sim": ("reach_sim", ("sim1_day00.nwb", "sim1_day03.nwb")),
}


class Short(NamedTuple):
    name: str
    data: Path
    folder: Path
    rows: list[ResultRow]


@pytest.fixture(scope="module", params=list(SETS))
def short(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Short:
    name, chosen = SETS[request.param]
    data = tmp_path_factory.mktemp(name)
    for file in chosen:
        (data / file).symlink_to(real_data(name).resolve() / file)
    folder = tmp_path_factory.mktemp(request.param)
    recipe = load_recipe(request.param, SHORT)
    return Short(request.param, data, folder, run(recipe, data, folder))


def test_every_method_is_scored_on_every_session(short: Short) -> None:
    sessions = {path.stem for path in (short.folder / "prepared").glob("*.h5")}
    assert len(sessions) == len(list(short.data.glob("*.nwb")))
    methods = {*load_recipe(short.name).baselines.methods, "student"}
    assert {"ridge", "gru", "scratch", "teacher_probe", "student"} <= methods
    found = {(row.method, row.session, row.split) for row in short.rows}
    assert found == {(m, s, p) for m in methods for s in sessions for p in ("validation", "test")}
    for row in short.rows:
        assert math.isfinite(row.r2)
        assert row.r2 <= 1
        assert row.r2_shifted < 0.15, "behavior moved against the recording was decoded: a leak"
    assert set(read_json(short.folder / "run.json")["data"]) == sessions
    assert (short.folder / "report.html").is_file()
    figures = {path.stem for path in (short.folder / "figures").glob("*.png")}
    assert figures >= {"r2_test", "loss", *(f"trajectory_{session}" for session in sessions)}


def test_the_teacher_fills_in_better_than_mean_and_interpolation(short: Short) -> None:
    lines = (short.folder / "seed0" / "teacher" / "metrics.jsonl").read_text().splitlines()
    last = [x for x in map(json.loads, lines) if x["split"] == "validation"][-1]
    assert last["reconstruction"] < 0.95 * last["channel_mean"]
    assert last["reconstruction"] < 0.95 * last["interpolation"]


def test_the_linear_baseline_has_learned(short: Short) -> None:
    ridge = [row.r2 for row in short.rows if (row.method, row.split) == ("ridge", "test")]
    assert sum(ridge) / len(ridge) > 0.02


def test_the_decoder_runs_on_a_recording(short: Short) -> None:
    decoder = Decoder.from_pretrained(short.folder / "seed0" / "model")
    path = min(short.data.glob("*.nwb"), key=lambda p: p.stat().st_size)
    (row,) = [
        row
        for row in short.rows
        if (row.method, row.split) == ("student", "test") and row.session in session_of(path)
    ]
    assert decoder.score(path) == pytest.approx(row.r2, abs=2e-3)


def session_of(path: Path) -> list[str]:
    from realm.recordings.open import open_recording

    with open_recording(path) as recording:
        return [recording.session_id]
