"""New sessions: which they are, all methods on the same labels, and no label that leaks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from benchmark.test_benchmark import recipe
from test_claims import rows as rows_of

from realm.benchmark.claims import held_out_claims
from realm.benchmark.command import benchmark
from realm.benchmark.held_out import SIGNAL_SEEN, UNSEEN, Split, held_out_seed, splits_of
from realm.benchmark.label_free import Networks, label_free, published_objective
from realm.benchmark.part import BenchmarkRow, of_part
from realm.data.prepare import prepare_all
from realm.data.sessions import CONTENT, PreparedSession, content_sha256
from realm.evaluation.results import COLUMNS
from realm.progress import silent
from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session

METHODS = {
    *("ridge", "kalman", "gru", "lstm", "transformer_causal", "scratch", "untrained"),
    *("causal_mae", "published_teacher", "published_student", "transformer_mae_probe"),
    *("teacher_probe", "student_frozen", "student_frozen_lags", "student_tuned"),
    "student_joint",
}
TIMES = ("train_cpu_s", "us_per_bin")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three_days")
    config = SimulationConfig(
        subjects=1, days=3, channels=4, duration_s=52.0, sampling_rate_hz=200.0, dead_channels=0
    )
    for session in simulate(config):
        write_session(folder / f"{session.session_id}.nwb", session)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    out = tmp_path_factory.mktemp("held_out") / "out"
    return out, list(benchmark(recipe(), data, out, only=["heldout"]).rows)


def test_the_last_sessions_of_a_subject_are_new() -> None:
    days = {"A": ["a1", "a2", "a3", "a4"], "B": ["b1", "b2"], "C": ["c1"]}
    assert splits_of(days, 2) == [
        Split(UNSEEN, ("a1", "a2", "b1", "c1"), ("a3", "a4", "b2")),
        Split(
            SIGNAL_SEEN,
            ("a1", "a2", "a3", "a4", "b1", "b2", "c1"),
            ("a3", "a4", "b2", "c1"),
        ),
    ]
    (only,) = splits_of({"C": ["c1"], "D": ["d1"]}, 2)
    assert only == Split(SIGNAL_SEEN, ("c1", "d1"), ("c1", "d1"))


def test_every_method_has_every_budget_in_both_variants(finished: tuple[Path, list]) -> None:
    out, rows = finished
    assert {(r.variant, r.row.method, r.row.label_s) for r in rows} == {
        (variant, method, label_s)
        for variant in (UNSEEN, SIGNAL_SEEN)
        for method in METHODS
        for label_s in (5.0, "all")
    }
    assert {r.row.session for r in rows} == {"simA_day2"}
    with (out / "heldout" / "results.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == (*COLUMNS, "variant", "labels_s")
    assert len(lines) == len(rows)
    assert all(line["labels_s"] == line["label_s"] for line in lines)
    sees_the_future = {line["method"] for line in lines if line["lookahead_ms"] == "inf"}
    assert sees_the_future == {"published_teacher", "teacher_probe", "transformer_mae_probe"}


def without_times(rows: Sequence[BenchmarkRow]) -> list[BenchmarkRow]:
    none = dict.fromkeys(TIMES, 0.0)
    return [BenchmarkRow(part, variant, replace(row, **none)) for part, variant, row in rows]


def test_no_label_of_another_session_changes_anything(
    finished: tuple[Path, list], tmp_path: Path
) -> None:
    """All behavior of the earlier sessions is exchanged: every row stays the same bit for bit."""
    out, rows = finished
    for path in sorted((out / "prepared").glob("*.h5")):
        copy = Path(shutil.copy(path, tmp_path / path.name))
        if "day2" not in path.name:
            with h5py.File(copy, "r+") as file:
                file["behavior/values"][:] = -7.0 * file["behavior/values"][:][::-1]
                file["behavior/mask"][:] = file["behavior/mask"][:][::-1]
                file["provenance"].attrs[CONTENT] = content_sha256(file)
    files = sorted(tmp_path.glob("*.h5"))
    days = {"simA": [path.stem for path in files]}
    again = held_out_seed(recipe(), files, splits_of(days, 1), tmp_path / "out", 0, silent())
    assert [r.row.method for r in again] == [r.row.method for r in rows]
    for one, other in zip(without_times(again), without_times(rows), strict=True):
        for name in ("r2", "pearson_r", "r2_shifted"):
            a, b = getattr(one.row, name), getattr(other.row, name)
            assert a == pytest.approx(b, rel=1e-5, nan_ok=True), (one.row.method, name)


def test_a_label_of_the_new_session_beyond_the_budget_changes_no_training(
    data: Path, tmp_path: Path
) -> None:
    """With 5 s of labels, other labels after them (validation too) give the same decoding."""
    config = recipe(held_out_label_s=[5.0])
    files = prepare_all(
        sorted(data.glob("*.nwb")), tmp_path / "p", config.signal, config.data, 1, show=False
    )
    days = {"simA": [path.stem for path in files]}
    splits = splits_of(days, 1)[:1]
    other = Path(shutil.copytree(tmp_path / "p", tmp_path / "q")) / files[-1].name
    session = PreparedSession.load(other)
    start, stop = round(6000 / session.bin_ms), session.splits["test"][0]
    session.close()
    with h5py.File(other, "r+") as file:
        values = file["behavior/values"][:]
        values[start:stop] = np.random.default_rng(0).permutation(values[start:stop]) + 3
        file["behavior/values"][:] = values
        file["provenance"].attrs[CONTENT] = content_sha256(file)
    scores = []
    for name in ("p", "q"):
        there = [tmp_path / name / path.name for path in files]
        rows = held_out_seed(config, there, splits, tmp_path / f"out_{name}", 0, silent())
        few = [r.row for r in rows if r.row.label_s == 5.0 and r.row.split == "test"]
        scores.append({row.method: row.r2 for row in few})
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_the_published_objective_is_the_published_one() -> None:
    ours = label_free(recipe())
    theirs = published_objective(ours)
    assert ours.label_free
    assert theirs.label_free
    mask = theirs.pretrain.mask
    assert (mask.hidden_share, mask.span_ms, mask.channel_share) == (0.6, (100, 500), (1, 1))
    assert theirs.pretrain.whitening is None
    assert theirs.distill.alignment.kind == "cosine"
    assert theirs.pretrain.encoder == ours.pretrain.encoder
    several = ours.model_copy(update={"pretrain": ours.pretrain.model_copy(update={"teachers": 3})})
    one = published_objective(several).pretrain
    assert (one.teachers, one.optimization.steps) == (1, 3 * ours.pretrain.optimization.steps)


def test_several_teachers_differ_and_teach_together(
    finished: tuple[Path, list], tmp_path: Path
) -> None:
    sessions = tuple(
        PreparedSession.load(path).without_behavior()
        for path in sorted((finished[0] / "prepared").glob("*.h5"))
    )
    one = label_free(recipe())
    both = one.model_copy(update={"pretrain": one.pretrain.model_copy(update={"teachers": 2})})
    networks = Networks(both, sessions, tmp_path, 0, silent())
    teacher, _ = networks.teacher
    first, second = teacher.members  # type: ignore[union-attr]
    assert not np.allclose(
        first.readout.weight("simA_day0").detach(), second.readout.weight("simA_day0").detach()
    )
    assert teacher.d_model == 2 * first.d_model
    student, _ = networks.student
    assert student.d_model == both.distill.encoder.d_model  # type: ignore[attr-defined]
    assert {path.name for path in tmp_path.iterdir()} == {"teacher", "teacher2", "student"}


def test_claims_hold_only_with_lead_and_interval() -> None:
    def measured(frozen: float, ridge: float) -> list[BenchmarkRow]:
        found = [*rows_of("student_frozen", frozen), *rows_of("ridge", ridge)]
        return of_part("heldout", UNSEEN, found)

    def claim(rows: list[BenchmarkRow], text: str) -> bool | None:
        (met,) = [c.met for c in held_out_claims(rows) if text in c.text and "all" in c.text]
        return met

    assert claim(measured(0.81, 0.70), "student_frozen − ridge") is True
    assert claim(measured(0.81, 0.75), "student_frozen − ridge") is False
    assert claim(measured(0.81, 0.70), "student_frozen on") is True
    assert claim(measured(0.77, 0.70), "student_frozen on") is False
    assert claim(measured(0.79, 0.70), "trained student") is None
