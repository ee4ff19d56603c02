from __future__ import annotations

import json
import re

import pytest
from evaluation_cases import row, run_rows, training_records, trajectory

from realm.evaluation.results import write_results
from realm.report.markdown import write_markdown
from realm.report.metrics_log import loss_figure, r2_figure, trajectory_figure


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
        assert f"## {title}" in text
    assert "| signal.bin_ms | 10 |" in text
    assert "| day0.recording_sha256 | 0123456789ab… |" in text
    assert "| seed0/teacher | 812.3 | 800.0 |" in text


def test_the_headline_says_the_students_score_and_its_distance(run_dir):
    markdown = write_markdown(run_dir)
    first = markdown.read_text().splitlines()[2]
    assert re.match(
        r"With all training labels, the student reaches a test R² of 0\.\d+ \(1 undefined; "
        r"3 sessions, 3 seeds\): \+0\.\d+ against ridge, .* −0\.\d+ against teacher_probe\.",
        first,
    )


def test_results_alone_are_enough(tmp_path):
    write_results([row("ridge", split="validation")], tmp_path / "results.csv")
    text = write_markdown(tmp_path).read_text()
    assert "Accuracy on validation time" in text
    assert "![" not in text


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"results\.csv"):
        write_markdown(tmp_path)
