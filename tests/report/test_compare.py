"""`realm compare`: runs are paired where they share recordings, and differ where they say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_cases import Page, result, write_run

from realm.report.compare import (
    compare,
    session_table,
    settings_table,
    summary_table,
    write_comparison,
)

DAYS, SEEDS = ("day0", "day1", "day2"), (0, 1)


def run(folder: Path, gain: float, days: tuple[str, ...] = DAYS, **record: object) -> Path:
    rows = [
        result(day, seed, 0.5 + 0.1 * DAYS.index(day) + 0.01 * seed + gain)
        for day in days
        for seed in SEEDS
    ]
    return write_run(folder, rows, **record)


def test_runs_are_paired_by_session_and_seed(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", 0.0), run(tmp_path / "b", 0.05)
    found = compare([first, second])
    assert found.mean("a") == pytest.approx(0.605)
    paired = found.difference("b")
    assert (paired.mean, paired.low, paired.high) == pytest.approx((0.05, 0.05, 0.05))
    assert (paired.sessions, paired.seeds) == (3, 2)
    assert summary_table(found).rows == (
        ("a", "0.605", "–", "–", "–", "3 × 2"),
        ("b", "0.655", "+0.050", "+0.050 to +0.050", "3 × 2", "3 × 2"),
    )
    assert session_table(found).rows[2] == ("day2", "0.705", "0.755")


def test_only_sessions_of_the_same_recording_are_compared(tmp_path: Path) -> None:
    first = run(tmp_path / "a", 0.0)
    other = {day: {"recording_sha256": f"{day:f<64}"} for day in DAYS[:2]}
    other["day2"] = {"recording_sha256": "0" * 64}
    second = run(tmp_path / "b", 0.05, data=other)
    found = compare([first, second])
    assert found.sessions == ["day0", "day1"]
    assert found.only_in_some == ("day2",)
    assert found.mean("a") == pytest.approx(0.555)
    third = run(tmp_path / "c", 0.0, data={day: {"recording_sha256": "1"} for day in DAYS})
    with pytest.raises(ValueError, match=r"a: day0.*c: day0"):
        compare([first, third])


def test_settings_that_differ_are_listed(tmp_path: Path) -> None:
    recipe = {"name": "x", "signal": {"bin_ms": 10.0}, "labels": {"budget_s": "all"}}
    changed = recipe | {"signal": {"bin_ms": 20.0, "line_hz": 50.0}}
    first = run(tmp_path / "a", 0.0, recipe=recipe, commit="1" * 40, stages={"a": {"wall_s": 1}})
    second = run(tmp_path / "b", 0.0, recipe=changed, commit="1" * 40, stages={"a": {"wall_s": 2}})
    rows = settings_table(compare([first, second])).rows
    assert rows == (("signal.bin_ms", "10", "20"), ("signal.line_hz", "–", "50"))


def test_the_page_holds_table_figure_and_settings(tmp_path: Path) -> None:
    folders = [run(tmp_path / str(k) / "run", 0.01 * k) for k in range(9)]
    found = compare(folders)
    assert list(found.runs)[:2] == ["0/run", "1/run"]
    read = Page(write_comparison(found, tmp_path / "out.html").read_text())
    assert read.images == 1
    assert settings_table(found).rows == ()
    assert all(day in read.text for day in DAYS)
    assert "8/run" in read.text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", 0.0), run(tmp_path / "b", 0.0)
    with pytest.raises(ValueError, match="got 1"):
        compare([first])
    with pytest.raises(ValueError, match="/a: "):
        compare([first, first])
    with pytest.raises(ValueError, match=r"'gru'.*student.*--method"):
        compare([first, second], "gru")
    with pytest.raises(ValueError, match=r"none/results\.csv"):
        compare([first, tmp_path / "none"])
