"""The main job: complete results, stages that are done once, and nothing lost on the way."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

import realm
from realm.decoder.decoder import Decoder
from realm.evaluation.results import COLUMNS, ResultRow, read_results
from realm.files import read_json, sha256_file
from realm.recipe import load_recipe
from realm.runs.run import Progress, run, silent

METHODS = {"ridge", "gru", "scratch", "teacher_probe", "student"}
SESSIONS = {"simA_day0", "simA_day1", "simB_day0"}
STAGES = ("teacher", "student", "gru", "scratch")
COST = ("train_cpu_s", "us_per_bin")  # differ from run to run


class Finished(NamedTuple):
    folder: Path
    rows: list[ResultRow]


@pytest.fixture(scope="module")
def data(recordings: list[Path]) -> Path:
    return recordings[0].parent


@pytest.fixture(scope="module")
def finished(data: Path, small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two seeds, one after the other."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Finished(folder, run(load_recipe(small_recipe, ["seeds=[0, 1]"]), data, folder))


def scores(rows: list[ResultRow]) -> list[dict[str, Any]]:
    """Rows without what a clock measured; NaN as None, so that equal means equal."""
    facts = [dataclasses.asdict(row) for row in rows]
    return [{k: None if v != v else v for k, v in fact.items() if k not in COST} for fact in facts]


def watched(seen: list[str], stop_at: tuple[str, int] | None = None) -> Progress:
    """Note every training step taken; be interrupted at one of them."""

    def training(title: str, steps: int) -> Callable[[int, dict[str, float]], None]:
        def report(step: int, figures: dict[str, float]) -> None:
            seen.append(f"{title} {step}")
            if stop_at is not None and title.endswith(stop_at[0]) and step == stop_at[1]:
                raise KeyboardInterrupt

        return report

    return Progress(lambda text: None, training)


def checkpoints(folder: Path) -> dict[str, tuple[int, bytes]]:
    paths = sorted(folder.rglob("checkpoint.safetensors"))
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in paths}


def test_results_are_complete_and_in_order(finished: Finished) -> None:
    with (finished.folder / "results.csv").open() as stream:
        lines = list(csv.reader(stream))
    expected = (
        "method, session, subject, seed, split, label_s, lookahead_ms, r2, r2_low, r2_high, "
        "pearson_r, r2_shifted, parameters, train_cpu_s, us_per_bin"
    )
    assert ", ".join(lines[0]) == expected == ", ".join(COLUMNS)
    rows = read_results(finished.folder / "results.csv")
    found = {(r.method, r.session, r.seed, r.split) for r in rows}
    wanted = {
        (m, s, seed, split)
        for m in METHODS
        for s in SESSIONS
        for seed in (0, 1)
        for split in ("validation", "test")
    }
    assert found == wanted
    assert len(rows) == len(wanted)
    for row in rows:
        assert math.isfinite(row.r2)
        assert -1 <= row.pearson_r <= 1
        assert row.r2_low <= row.r2_high or math.isnan(row.r2_low)
        assert row.label_s == "all"
        assert row.subject == row.session.split("_")[0]
        assert row.parameters > 0
        assert row.us_per_bin > 0
        assert row.train_cpu_s > 0
        assert row.lookahead_ms == (math.inf if row.method == "teacher_probe" else 0)
    assert scores(finished.rows)[0].keys() == scores(rows)[0].keys()
    assert len(finished.rows) == len(rows)


def test_the_run_is_described(finished: Finished, data: Path) -> None:
    record = read_json(finished.folder / "run.json")
    assert record["recipe"]["name"] == "small"
    assert record["recipe"]["seeds"] == [0, 1]
    assert record["recipe"]["distill"]["optimization"]["steps"] == 6
    assert {"realm-lfp", "python", "torch", "h5py", "numpy"} <= set(record["versions"])
    assert record["commit"] is None or len(record["commit"].rstrip("+")) == 40
    assert set(record["data"]) == SESSIONS
    for session in SESSIONS:
        hashes = record["data"][session]
        assert hashes["recording_sha256"] == sha256_file(data / f"{session}.nwb")
        assert len(hashes["prepared_sha256"]) == 64
    stages = set(record["stages"])
    assert "prepare" in stages
    for seed in (0, 1):
        assert {f"seed{seed}/{stage}" for stage in ("pretrain", "distill", *METHODS)} <= stages
    assert all(set(times) == {"wall_s", "cpu_s"} for times in record["stages"].values())


def test_the_commit_is_marked_when_any_file_of_the_package_was_changed(tmp_path: Path) -> None:
    source = Path(shutil.copytree(Path(realm.__file__).parent, tmp_path / "realm"))

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    def commit() -> str:
        code = "from realm.runs.record import commit; print(commit())"
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "realm")
    git("commit", "-q", "-m", "all")
    clean = commit()
    assert len(clean) == 40
    with (source / "stages.py").open("a") as stream:
        stream.write("# changed\n")
    assert commit() == clean + "+"


def test_the_outcome_can_be_looked_at(finished: Finished) -> None:
    pictures = {path.name for path in (finished.folder / "figures").glob("*.png")}
    assert pictures == {"r2_test.png", "loss.png", *(f"trajectory_{s}.png" for s in SESSIONS)}
    report = (finished.folder / "report.md").read_text()
    page = (finished.folder / "report.html").read_text()
    for text in (report, page):
        assert all(word in text for word in (*METHODS, *SESSIONS))
    assert "data:image/png;base64" in page
    assert 'src="http' not in page


def test_every_stage_left_its_files(finished: Finished) -> None:
    for seed in (0, 1):
        folder = finished.folder / f"seed{seed}"
        for stage in STAGES:
            lines = [json.loads(x) for x in (folder / stage / "metrics.jsonl").open()]
            assert [x["step"] for x in lines if x["split"] == "train"] == list(range(1, 7))
            assert [x["step"] for x in lines if x["split"] == "validation"] == [3, 6]
        assert not list(folder.rglob("*.part"))
    lines = [json.loads(x) for x in (finished.folder / "seed0/teacher/metrics.jsonl").open()]
    held_out = [x for x in lines if x["split"] == "validation"]
    assert {"reconstruction", "channel_mean", "interpolation", "task"} <= set(held_out[-1])


def test_seeds_differ(finished: Finished) -> None:
    by_seed = [
        [row.r2 for row in finished.rows if row.seed == seed and row.method == "student"]
        for seed in (0, 1)
    ]
    assert by_seed[0] != by_seed[1]


def test_the_saved_decoder_scores_live_what_the_results_say(
    finished: Finished, recordings: list[Path]
) -> None:
    decoder = Decoder.from_pretrained(finished.folder / "seed0" / "model")
    for path in recordings:
        (row,) = [
            row
            for row in finished.rows
            if (row.method, row.session, row.seed, row.split) == ("student", path.stem, 0, "test")
        ]
        assert decoder.score(path) == pytest.approx(row.r2, abs=1e-4)


def test_a_second_call_trains_nothing(finished: Finished, data: Path, small_recipe: Path) -> None:
    before, seen = checkpoints(finished.folder), []
    prepared = {p: p.stat().st_mtime_ns for p in (finished.folder / "prepared").iterdir()}
    recipe = load_recipe(small_recipe, ["seeds=[0, 1]"])
    rows = run(recipe, data, finished.folder, progress=watched(seen))
    assert seen == []
    assert checkpoints(finished.folder) == before
    assert {p: p.stat().st_mtime_ns for p in prepared} == prepared
    assert scores(rows) == scores(finished.rows)
    stages = read_json(finished.folder / "run.json")["stages"]
    assert {f"seed1/{method}" for method in METHODS} <= set(stages)


@pytest.mark.parametrize("stop_at", [("teacher", 4), ("gru", 3)])
def test_an_interrupted_run_goes_on(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path, stop_at: tuple[str, int]
) -> None:
    """What is done stays, the stage that was cut is done again, and the results are the same."""
    recipe = load_recipe(small_recipe)
    stopped: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(recipe, data, tmp_path, progress=watched(stopped, stop_at))
    assert not (tmp_path / "results.csv").exists()
    done = checkpoints(tmp_path)
    again: list[str] = []
    rows = run(recipe, data, tmp_path, progress=watched(again))
    first = next(name for name in again if name.startswith("seed 0"))
    assert first.split()[2] == stop_at[0]
    kept = checkpoints(tmp_path)
    assert all(kept[name] == content for name, content in done.items())
    assert scores(rows) == scores([row for row in finished.rows if row.seed == 0])


def test_stages_can_be_run_one_by_one(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(small_recipe)
    assert run(recipe, data, tmp_path, until="prepare") == []
    assert {p.stem for p in (tmp_path / "prepared").glob("*.h5")} == SESSIONS
    assert not (tmp_path / "seed0").exists()
    assert run(recipe, data, tmp_path, until="pretrain") == []
    assert not (tmp_path / "seed0" / "student").exists()
    assert run(recipe, data, tmp_path, until="distill") == []
    assert (tmp_path / "seed0" / "model" / "decoder.json").exists()
    assert not (tmp_path / "results.csv").exists()
    rows = run(recipe, data, tmp_path)
    assert scores(rows) == scores([row for row in finished.rows if row.seed == 0])


@pytest.mark.slow
def test_seeds_side_by_side_give_the_same(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    rows = run(load_recipe(small_recipe, ["seeds=[0, 1]"]), data, tmp_path, jobs=2)
    assert scores(rows) == scores(finished.rows)
    stages = read_json(tmp_path / "run.json")["stages"]
    assert {"seed0/student", "seed1/student", "seed1/pretrain"} <= set(stages)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("pretrain.task_weight=0.9", r"pretrain\.task_weight is 0\.9 and was"),
        ("signal.bin_ms=40", r"signal\.bin_ms is 40\.0 and was 20\.0"),
        ("distill.optimization.steps=7", r"distill\.optimization\.steps is 7 and was"),
    ],
)
def test_another_recipe_in_the_same_folder_is_refused_before_any_work(
    change: str, said: str, finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    before = {p: (p.stat().st_mtime_ns, sha256_file(p)) for p in folder.rglob("*") if p.is_file()}
    for note in ("recipe.json", "run.json"):  # an older folder has the second one only
        with pytest.raises(ValueError, match=rf"run: expected the recipe .*{said}.*--out"):
            run(load_recipe(small_recipe, [change]), data, folder)
        after = {
            p: (p.stat().st_mtime_ns, sha256_file(p)) for p in folder.rglob("*") if p.is_file()
        }
        assert after == before
        if note == "recipe.json":
            (folder / note).unlink()
            before.pop(folder / note)


def test_what_training_does_not_depend_on_may_change(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    seen: list[str] = []
    recipe = load_recipe(small_recipe, ["seeds=[0]", 'baselines.methods=["ridge"]'])
    rows = run(recipe, data, tmp_path / "run", progress=watched(seen))
    assert seen == []
    assert {row.method for row in rows} >= {"ridge", "student"}


def test_behavior_that_does_not_vary_has_no_r2(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for path in recordings:
        shutil.copy(path, folder)
    with h5py.File(folder / "simA_day1.nwb", "r+") as file:
        hand = file["processing/behavior/Position/hand/data"]
        still = round(0.6 * len(hand))  # from the end of training time on
        hand[still:] = np.ones_like(hand[still:])
    rows = run(load_recipe(small_recipe), folder, tmp_path / "run")
    for row in rows:
        still = row.session == "simA_day1"
        assert math.isnan(row.r2) == still, row
        assert math.isnan(row.pearson_r) or not still
        assert math.isnan(row.r2_shifted) or not still
    with (tmp_path / "run" / "results.csv").open() as stream:
        cells = [line for line in csv.DictReader(stream) if line["session"] == "simA_day1"]
    assert len(cells) == 10
    assert {line["r2"] for line in cells} == {""}
    assert {line["r2_low"] for line in cells} == {""}
    assert "undefined" in (tmp_path / "run" / "report.md").read_text()


def test_label_budgets(data: Path, small_recipe: Path, tmp_path: Path) -> None:
    overrides = ["labels.budget_s=12.0", 'labels.sessions=["*_day1"]']
    rows = run(load_recipe(small_recipe, overrides), data, tmp_path)
    budgets = {row.session: row.label_s for row in rows}
    assert budgets == {"simA_day0": "all", "simA_day1": 12.0, "simB_day0": "all"}
    with (tmp_path / "results.csv").open() as stream:
        stored = {line["session"]: line["label_s"] for line in csv.DictReader(stream)}
    assert stored == {"simA_day0": "all", "simA_day1": "12", "simB_day0": "all"}


def test_label_budgets_of_no_session_are_refused(
    data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    overrides = ["labels.budget_s=12.0", 'labels.sessions=["rat*"]']
    with pytest.raises(ValueError, match=r"simA_day0.*'rat\*' fits none"):
        run(load_recipe(small_recipe, overrides), data, tmp_path)


def test_a_lookahead_is_in_the_results(data: Path, small_recipe: Path, tmp_path: Path) -> None:
    rows = run(load_recipe(small_recipe, ["distill.lookahead_ms=60.0"]), data, tmp_path)
    waited = {row.method: row.lookahead_ms for row in rows}
    assert waited == {
        "ridge": 0,
        "gru": 60,
        "scratch": 60,
        "student": 60,
        "teacher_probe": math.inf,
    }
    assert all(math.isfinite(row.r2) for row in rows)
    assert Decoder.from_pretrained(tmp_path / "seed0" / "model").lookahead_bins == 3


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("distill.lookahead_ms=25.0", r"lookahead_ms.*20 ms.*25"),
        ("distill.encoder.d_model=64", r"distill\.encoder.*\d"),
    ],
)
def test_what_cannot_be_distilled_is_said_before_pretraining(
    override: str, said: str, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match=said):
        run(load_recipe(small_recipe, [override]), data, tmp_path, progress=watched(seen))
    assert seen == []


def test_a_folder_without_recordings(small_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        with pytest.raises(ValueError, match=rf"{folder}: expected recordings"):
            run(load_recipe(small_recipe), tmp_path / folder, tmp_path / "out")


def test_an_output_folder_that_cannot_be_made(
    data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    """Root may write everywhere, so the folder lies below a file."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"file/run"):
        run(load_recipe(small_recipe), data, tmp_path / "file" / "run", progress=silent())
    assert (tmp_path / "file").read_text() == "in the way"


def limited(kilobytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line where no file may grow beyond some size, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10))

    return subprocess.run(
        [sys.executable, "-m", "realm", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit,
    )


def test_a_full_disk_keeps_the_earlier_files(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    before = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    arguments = ("--data", data, "--out", folder, "--set", "seeds=[0, 1]", "--jobs", 1)
    done = limited(3, "run", small_recipe, *arguments)
    assert done.returncode == 2, done.stderr
    assert str(folder / "seed0" / "model") in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()} == before


def test_a_full_disk_at_the_end_names_what_could_not_be_written(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    before = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    names = ["seed0/model/model.safetensors", "figures/r2_test.png"]
    model, figure = ((folder / name).stat().st_size for name in names)
    assert model < figure
    recipe = load_recipe(small_recipe, ["seeds=[0, 1]"])
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((model + figure) // 2, earlier[1]))
    try:
        with pytest.raises(OSError, match=r"figures/.*png"):
            run(recipe, data, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
    changed = {p for p, content in before.items() if p.read_bytes() != content}
    assert {p.name for p in changed} <= {"run.json"}


def test_a_disk_that_fills_up_in_training_leaves_no_half_checkpoint(
    finished: Finished, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder / "prepared", folder / "prepared")
    done = limited(40, "pretrain", small_recipe, "--data", data, "--out", folder)
    assert done.returncode == 2, done.stderr
    assert "teacher/checkpoint.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    left = [path.name for path in (folder / "seed0" / "teacher").iterdir()]
    assert left == ["metrics.jsonl"]


def test_two_runs_do_not_share_a_folder(data: Path, small_recipe: Path, tmp_path: Path) -> None:
    from realm.locks import Lock

    with Lock(tmp_path), pytest.raises(ValueError, match=f"{tmp_path}: expected one process"):
        run(load_recipe(str(small_recipe)), data, tmp_path)
