"""The cost table of a finished run, and what the estimate of power is made of."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from realm.benchmark.cost import CostRow, cost_rows, cost_tables, input_signals, write_costs
from realm.benchmark.energy import (
    CONSTANTS,
    broadband,
    estimate,
    lfp,
    threshold_crossings,
)
from realm.evaluation.results import read_results
from realm.files import read_json
from realm.recipe import load_recipe
from realm.runs.run import run


@pytest.fixture(scope="module")
def finished(
    recordings: list[Path], small_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("cost")
    data = folder / "data"
    data.mkdir()
    for path in recordings[1:]:  # one with six channels, one with four
        (data / path.name).symlink_to(path)
    steps = [f"{part}.optimization.steps=2" for part in ("distill", "pretrain")]
    methods = 'baselines.methods=["ridge", "kalman", "scratch", "teacher_probe"]'
    run(load_recipe(small_recipe, [*steps, methods]), data, folder / "run")
    return folder / "run"


def test_every_method_has_its_costs(finished: Path, tmp_path: Path) -> None:
    rows = {row.method: row for row in cost_rows(finished)}
    found = read_results(finished / "results.csv")
    assert set(rows) == {row.method for row in found}
    teacher = read_json(finished / "run.json")["stages"]["seed0/pretrain"]["cpu_s"]
    for method, row in rows.items():
        assert row.channels == 6  # the session with the most
        assert row.input_bits_per_s == 6 * row.rate_hz * row.sample_bits
        assert row.parameters in {r.parameters for r in found if r.method == method}
        assert row.macs_per_bin > 0.7 * row.parameters or method == "teacher_probe"
        assert row.teacher_cpu_s == (teacher if method in ("student", "teacher_probe") else 0)
        assert 0 < row.total_low_uw < row.total_uw < row.total_high_uw
        assert math.isnan(row.state_bytes) == (method == "teacher_probe")
    ridge = sum(r.train_cpu_s for r in found if r.method == "ridge" and r.split == "test")
    assert rows["ridge"].train_cpu_s == pytest.approx(ridge)
    assert rows["student"].macs_per_bin == rows["scratch"].macs_per_bin

    write_costs(list(rows.values()), tmp_path / "cost.csv")
    with (tmp_path / "cost.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["method"] for line in lines] == list(rows)
    text = "".join(table.markdown() + table.title for table in cost_tables(list(rows.values())))
    for expected in ("Horowitz", "HermesD", "estimate", "broadband", "whole recording"):
        assert expected in text


def test_spikes_stand_beside_the_field_potentials(finished: Path) -> None:
    rows = cost_rows(finished, finished)  # the same run in the place of one on counts
    assert {row.signal for row in rows} == {"LFP", "threshold crossings"}
    names = [signal.name for signal in input_signals(rows)]
    assert names == ["LFP", "threshold crossings", "broadband"]
    by_signal: dict[str, CostRow] = {row.signal: row for row in rows}
    assert by_signal["LFP"].conversion_uw < by_signal["threshold crossings"].conversion_uw


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run.json"):
        cost_rows(tmp_path)


def test_the_estimate_adds_what_is_converted_sent_and_multiplied() -> None:
    slow, fast, counts = lfp(32, 500.0, 16), broadband(32), threshold_crossings(32, 100.0, 8)
    assert (slow.bits_per_s, fast.bits_per_s, counts.bits_per_s) == (256e3, 15.36e6, 25.6e3)
    power = estimate(slow, macs_per_s=1e7)
    assert power.conversion_uw == pytest.approx(32 * 500 * 2.1e-3)
    assert power.radio_uw == pytest.approx(256e3 * 131e-6)
    assert power.decoding_uw == pytest.approx(46.0)
    assert power.total_uw == pytest.approx(sum(power))
    ratio = estimate(fast).total_uw / estimate(slow).total_uw
    assert ratio == pytest.approx(60.0)
    assert estimate(counts).conversion_uw == estimate(fast).conversion_uw
    for constant in CONSTANTS:
        assert constant.low < constant.typical < constant.high
        assert any(str(year) in constant.source for year in range(2008, 2026))
