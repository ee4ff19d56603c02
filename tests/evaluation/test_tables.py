from __future__ import annotations

import math

import pytest
from evaluation_cases import row, run_rows
from rich.console import Console

from realm.report.tables import (
    accuracy_table,
    cost_table,
    difference_table,
    number,
    session_table,
)


def cells(table, *names):
    (line,) = [line for line in table.rows if line[: len(names)] == names]
    return dict(zip(table.columns, line, strict=True))


def test_accuracy_is_the_mean_over_sessions_with_both_spreads():
    rows = [row("gru", f"day{s}", k, r2=0.5 + 0.1 * s + 0.01 * k) for s in (0, 1) for k in (0, 1)]
    line = cells(accuracy_table(rows), "gru", "all")
    assert line["R²"] == "0.555"
    assert line["SD over sessions"] == "0.071"
    assert line["SD over seeds"] == "0.007"
    assert line["Sessions × seeds"] == "2 × 2"


def test_undefined_is_said_and_never_zero():
    rows = [row("gru", "day0", r2=0.5), row("gru", "still", r2=math.nan)]
    assert cells(accuracy_table(rows), "gru")["R²"] == "0.500 (1 undefined)"
    assert cells(session_table(rows), "still")["gru"] == "undefined"
    only = [row("gru", "still", r2=math.nan)]
    assert cells(accuracy_table(only), "gru")["R²"] == "undefined"


def test_budgets_have_lines_of_their_own_with_all_first():
    table = accuracy_table(run_rows(budgets=(30.0, 120.0, "all")))
    labels = list(dict.fromkeys(line[1] for line in table.rows))
    assert labels == ["all", "120 s", "30 s"]
    assert [line[0] for line in table.rows[:2]] == ["ridge", "gru"]


def test_a_session_without_a_method_leaves_its_cell_empty():
    rows = [row("gru", "day0"), row("ridge", "day1")]
    assert cells(session_table(rows), "day1")["gru"] == ""


def test_differences_are_paired_with_the_student():
    table = difference_table(run_rows())
    line = cells(table, "student − ridge", "all")
    assert line["R²"].startswith("+0.2")
    assert line["Sessions × seeds"] == "3 × 3"
    assert " to " in line["95% interval"]
    single = difference_table([row("student"), row("gru", r2=0.4)])
    assert cells(single, "student − gru")["95% interval"] == "needs 2 sessions or seeds"
    assert difference_table([row("gru")]).rows == ()


def test_cost_shows_ranges_and_who_sees_the_future():
    rows = [row("gru", parameters=1000), row("gru", "day1", parameters=2500)]
    line = cells(cost_table([*rows, row("teacher_probe", lookahead_ms=math.inf)]), "gru")
    assert line["Parameters"] == "1,000 to 2,500"
    probe = cells(cost_table([row("teacher_probe", lookahead_ms=math.inf)]), "teacher_probe")
    assert probe["Lookahead, ms"] == "whole recording"


def test_every_form_shows_the_same_cells():
    table = accuracy_table([row("a|<b>", r2=-0.25)])
    assert "a\\|<b>" in table.markdown()
    assert "<td>a|&lt;b&gt;</td>" in table.html()
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table.rich())
    assert "−0.250" in console.export_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.0001, "0.000"), (-0.5, "−0.500"), (math.nan, "undefined")],
)
def test_numbers(value, text):
    assert number(value) == text
