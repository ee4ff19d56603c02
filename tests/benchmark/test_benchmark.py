"""The whole command once on tiny recordings, what it leaves, and that nothing is done twice."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from report.report_cases import Page

from realm.benchmark.command import benchmark
from realm.benchmark.part import (
    Benchmark,
    BenchmarkRow,
    Part,
    of_part,
    read_rows,
    select,
    variants,
)
from realm.benchmark.parts import PARTS
from realm.benchmark.report import Outcome
from realm.evaluation.results import ResultRow, read_results
from realm.files import read_json
from realm.progress import Progress
from realm.recipe import Recipe, parse_recipe
from realm.report.write import write_report
from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session

ENCODER = {"layers": 1, "d_model": 8, "d_state": 4, "headdim": 8}
TINY = {"steps": 1, "batch_size": 1, "warmup_steps": 1, "validate_every": 1}
RECIPE = {
    "name": "tiny",
    "seeds": [0],
    "signal": {"preset": "slow", "bin_ms": 40.0, "reference": "none"},
    "data": {"behavior": "behavior/Position/hand", "target": "velocity", "window_s": 1.0},
    "pretrain": {"encoder": ENCODER | {"d_model": 16}, "optimization": TINY},
    "distill": {"encoder": ENCODER, "optimization": TINY},
    "calibrate": {"optimization": TINY},
    "baselines": {
        "ridge": {"lag_s": 0.08},
        "kalman": {"lag_s": 0.08},
        "gru": {"d_model": 4},
        "lstm": {"d_model": 4},
        "transformer_causal": {"d_model": 8, "layers": 1, "headdim": 4, "context_s": 0.2},
        "mamba_bidirectional": {"encoder": ENCODER},
        "transformer_mae_probe": {
            "d_model": 8,
            "layers": 1,
            "headdim": 4,
            "optimization": TINY,
        },
    },
    "benchmark": {
        "lookahead_ms": [40.0],
        "label_s": [5.0],
        "held_out_sessions": 1,
        "held_out_label_s": [5.0],
    },
}
MAIN_TABLES = ("Accuracy on test time", "Paired differences on test time")
MAIN_TABLES += ("R² per session on test time",)
SUBJECTS, DAYS = ("simA", "simB"), 3


def recipe(**benchmark: object) -> Recipe:
    return parse_recipe(RECIPE | {"benchmark": RECIPE["benchmark"] | benchmark}, "tiny")


class Finished(NamedTuple):
    data: Path
    out: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days")
    config = SimulationConfig(
        subjects=2, days=DAYS, channels=4, duration_s=52.0, sampling_rate_hz=200.0, dead_channels=0
    )
    for session in simulate(config):
        write_session(folder / f"{session.session_id}.nwb", session)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("benchmark") / "whole"
    return Finished(data, out, benchmark(recipe(), data, out))


def test_every_part_leaves_its_rows(finished: Finished) -> None:
    rows = read_rows(finished.out / "benchmark.csv")
    assert {row.part for row in rows} == set(PARTS)
    assert finished.outcome.skipped == {}
    assert finished.outcome.missing == []
    assert variants(rows, "lookahead") == ["40 ms"]
    assert variants(rows, "labels") == ["5 s"]
    assert {row.session for row in select(rows, "main")} == {
        f"{subject}_day{day}" for subject in SUBJECTS for day in range(DAYS)
    }
    assert len({row.method for row in select(rows, "main")}) >= 9


def test_few_labels_are_on_the_last_session_of_each_subject(finished: Finished) -> None:
    rows = select(finished.outcome.rows, "labels")
    assert {row.session for row in rows if row.label_s == 5.0} == {"simA_day2", "simB_day2"}
    assert {row.label_s for row in rows if not row.session.endswith("day2")} == {"all"}


def test_later_sessions_are_decoded_every_way(finished: Finished) -> None:
    rows = finished.outcome.rows
    trained = {row.session for row in select(rows, "transfer", "trained")}
    assert trained == {"simA_day0", "simA_day1", "simB_day0", "simB_day1"}
    ways = {
        (found.variant, found.row.method, found.row.label_s)
        for found in rows
        if found.part == "transfer" and found.variant != "trained"
    }
    modes = ("adapter and head", "everything")
    assert ways == {
        *(("own labels", "ridge", label_s) for label_s in (5.0, "all")),
        *(("no labels", method, 0.0) for method in ("gru", "scratch", "student")),
        *(
            (mode, method, label_s)
            for mode in modes
            for method in ("gru", "scratch", "student")
            for label_s in (5.0, "all")
        ),
    }
    assert {r.session for r in select(rows, "transfer", "no labels")} == {"simA_day2", "simB_day2"}


def test_lookahead_students_share_the_main_teacher(finished: Finished) -> None:
    ours, theirs = (
        (finished.out / part / "seed0" / "teacher" / "checkpoint.safetensors").read_bytes()
        for part in ("main", "lookahead/40ms")
    )
    assert ours == theirs
    assert {row.lookahead_ms for row in select(finished.outcome.rows, "lookahead")} == {40.0}


def test_results_are_those_of_main_and_lookahead(finished: Finished) -> None:
    rows = read_results(finished.out / "results.csv")
    parts = [row for row in finished.outcome.rows if row.part in ("main", "lookahead")]
    assert len(rows) == len(parts)
    with (finished.out / "benchmark.csv").open() as stream:
        assert next(csv.reader(stream))[:3] == ["part", "variant", "method"]


def test_report_figures_and_claims(finished: Finished) -> None:
    report = (finished.out / "benchmark.md").read_text()
    record = read_json(finished.out / "benchmark.json")
    for title in ("Drift", "LFP against spikes", "Few labels"):
        assert title in report
        assert any(title in name for name in record["tables"])
    assert all(claim.text in report for claim in finished.outcome.claims)
    figures = {path.stem for path in (finished.out / "figures").iterdir()}
    assert figures == {
        *("accuracy", "labels", "lookahead", "calibration", "drift", "heldout", "spikes")
    }
    assert all(f"figures/{name}.png" in report for name in figures)
    assert len(record["claims"]) == len(finished.outcome.claims)
    assert "skipped" not in report


def test_the_page_shows_every_part(finished: Finished, tmp_path: Path) -> None:
    read = Page(write_report(finished.out, tmp_path / "page.html", measure=False).read_text())
    tables = read_json(finished.out / "benchmark.json")["tables"]
    shown = [title for title in tables if title not in MAIN_TABLES]
    assert len(shown) >= 6
    assert all(title in read.text for title in shown)
    trajectories, others = len(SUBJECTS) * DAYS, 2  # of the main run: R², learning curves
    figures = ("lookahead", "labels", "calibration", "drift", "heldout", "spikes")
    assert read.images == trajectories + others + len(figures)


def test_a_part_takes_one_file_and_one_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(bench: Benchmark) -> list[BenchmarkRow]:
        return of_part("animals", "simB", select(finished.outcome.rows, "main"))

    out = Path(shutil.copytree(finished.out, tmp_path / "copy"))
    monkeypatch.setitem(PARTS, "animals", Part("New animals", "trained on other animals", run))
    outcome = benchmark(recipe(), finished.data, out, only=["animals"])
    assert variants(outcome.rows, "animals") == ["simB"]
    assert len(outcome.rows) > len(finished.outcome.rows)
    report = (out / "benchmark.md").read_text()
    assert "## New animals" in report
    (table,) = (t for t in read_json(out / "benchmark.json")["tables"] if "animals" in t)
    (line,) = read_json(out / "benchmark.json")["tables"][table]
    assert line["Variant"] == "simB"
    assert float(line["student"].replace("−", "-")) == pytest.approx(
        mean_r2(select(outcome.rows, "main"), "student"), abs=1e-3
    )


def mean_r2(rows: list[ResultRow], method: str) -> float:
    return float(np.mean([row.r2 for row in rows if row.method == method]))


def test_a_second_call_does_nothing_again(finished: Finished) -> None:
    seen: list[str] = []
    before = {p: p.stat().st_mtime_ns for p in finished.out.rglob("checkpoint.safetensors")}
    again = benchmark(recipe(), finished.data, finished.out, progress=watched(seen))
    assert seen == []
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(again.rows) == len(finished.outcome.rows)


def test_what_is_trained_stays_when_a_part_was_stopped(finished: Finished) -> None:
    """Without the rows of transfer, they are gathered again from the checkpoints."""
    for name in ("parts/transfer.json", "transfer/seed0/carried.json"):
        (finished.out / name).unlink()
    seen: list[str] = []
    again = benchmark(
        recipe(), finished.data, finished.out, only=["transfer"], progress=watched(seen)
    )
    assert seen == []
    assert len(again.rows) == len(finished.outcome.rows)


def test_a_single_session_per_subject_is_said(
    finished: Finished, tmp_path: Path, data: Path
) -> None:
    for name in ("simA_day0.nwb", "simB_day0.nwb"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(data / name)
    said: list[str] = []
    outcome = benchmark(
        recipe(spikes="ecephys/nothing"),
        tmp_path / "data",
        tmp_path / "out",
        only=["labels", "transfer", "spikes"],
        progress=Progress(said.append, silent_training),
    )
    assert set(outcome.skipped) == {"labels", "transfer", "spikes"}
    assert outcome.missing == ["main", "lookahead", "heldout"]
    assert "single session" in outcome.skipped["labels"]
    assert "no subject has 3 sessions" in outcome.skipped["transfer"]
    assert "no spike counts at 'ecephys/nothing'" in outcome.skipped["spikes"]
    assert any(line.startswith("labels: ") for line in said)
    report = (tmp_path / "out" / "benchmark.md").read_text()
    assert outcome.skipped["labels"] in report
    assert "--only main" in report
    assert all(claim.met is None for claim in outcome.claims)


@pytest.mark.parametrize(
    ("only", "changed", "said"),
    [
        (["mian"], {}, "--only mian: expected a part of the benchmark"),
        (["main"], {"lookahead_ms": [50.0]}, r"benchmark\.lookahead_ms: expected a multiple"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(
    data: Path, tmp_path: Path, only: list[str], changed: dict[str, object], said: str
) -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match=said):
        benchmark(recipe(**changed), data, tmp_path, only=only, progress=watched(seen))
    assert seen == []


def silent_training(title: str, steps: int) -> Callable[[int, dict[str, float]], None]:
    return lambda step, figures: None


def watched(seen: list[str]) -> Progress:
    """Note every training step."""

    def training(title: str, steps: int) -> Callable[[int, dict[str, float]], None]:
        return lambda step, figures: seen.append(f"{title} {step}")

    return Progress(lambda text: None, training)
