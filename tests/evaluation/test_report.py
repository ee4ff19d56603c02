from __future__ import annotations

import json
import re

import pytest
from evaluation_cases import row, run_rows, training_records, trajectory

from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import read_results, write_results
from realm.report.learning_curves import loss_figure
from realm.report.session_scores import r2_figure
from realm.report.trajectories import trajectory_figure
from realm.report.write import write_markdown


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "reach_sim-1"
    rows = run_rows(still=("day2",))
    write_results(rows, folder / "results.csv")
    r2_figure(rows, folder / "figures/r2_test.png")
    trajectory_figure(trajectory(), folder / "figures/trajectory_day0.png")
    loss_figure(training_records(), folder / "figures/loss.png")
    record = {
        "recipe": {"name": "reach <sim>", "signal": {"bin_ms": 10.0, "bands": []}, "seeds": [0, 1]},
        "commit": None,
        "data": {"day0": {"recording_sha256": "0123456789abcdef" * 4}},
        "stages": {"seed0/teacher": {"wall_s": 812.34, "cpu_s": 800.0}},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_markdown_links_its_figures_in_order(run_dir):
    markdown = write_markdown(run_dir)
    text = markdown.read_text()
    links = re.findall(r"\]\(<(.+?)>\)", text)
    expected = ["figures/r2_test.png", "figures/trajectory_day0.png", "figures/loss.png"]
    assert links == expected
    assert all((run_dir / link).exists() for link in links)
    for title in ("Accuracy on test time", "R² per session", "Paired differences", "Cost"):
        assert f"# {title}" in text
    assert "| signal.bin_ms | 10 |" in text
    assert "| day0.recording_sha256 | 0123456789ab… |" in text
    assert "| seed0/teacher | 812.3 | 800.0 |" in text


def test_the_summary_says_the_students_score_and_its_distance(run_dir):
    text = write_markdown(run_dir).read_text()
    rows = read_results(run_dir / "results.csv")
    summary = text[text.index("## Summary") : text.index("## R² per session")]
    rows = [row for row in rows if (row.split, row.label_s) == ("test", "all")]
    own = [row for row in rows if row.method == "student"]
    sessions = {row.session: [r.r2 for r in own if r.session == row.session] for row in own}
    mean = mean_defined([mean_defined(scores) for scores in sessions.values()])
    assert f"R² {mean:.3f}" in summary
    assert f"{len(sessions)} sessions" in summary
    assert "day2" in summary  # its behavior does not vary
    for other in ("ridge", "scratch"):
        difference = paired_interval(rows, "student", other).mean
        assert f"{difference:+.3f} R² against" in summary.replace("−", "-")
        assert other in summary


def test_every_label_budget_is_in_the_summary(tmp_path):
    rows = [row(m, "day0", 0, r2=r2) for m, r2 in (("student", 0.8), ("ridge", 0.5))]
    rows += [row(m, "day1", 0, r2=r2, label_s=30.0) for m, r2 in (("student", 0.4), ("gru", 0.3))]
    write_results(rows, tmp_path / "results.csv")
    text = write_markdown(tmp_path).read_text()
    summary = text[text.index("## Summary") : text.index("## R² per session")]
    assert all(part in summary for part in ("R² 0.800", "30 s", "0.400", "+0.100 R² against gru"))
    write_results(rows[2:], tmp_path / "results.csv")
    text = write_markdown(tmp_path).read_text()
    assert "R² 0.400" in text
    assert "30 s of labels" in text


def test_results_alone_are_enough(tmp_path):
    write_results([row("ridge", split="validation")], tmp_path / "results.csv")
    text = write_markdown(tmp_path).read_text()
    assert "Accuracy on validation time" in text
    assert "![" not in text


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"results\.csv"):
        write_markdown(tmp_path)
