from __future__ import annotations

import math

import pytest
from evaluation_cases import row, run_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.evaluation.results import COLUMNS, read_results, write_results
from realm.methods.registry import methods_of


def test_the_columns_are_the_promised_ones_in_order(tmp_path):
    write_results([row()], tmp_path / "results.csv")
    promised = (
        "method, session, subject, seed, split, label_s, lookahead_ms, r2, r2_low, r2_high, "
        "pearson_r, r2_shifted, parameters, train_cpu_s, us_per_bin"
    )
    first = (tmp_path / "results.csv").read_text().splitlines()[0]
    assert first == promised.replace(", ", ",")
    assert ", ".join(COLUMNS) == promised


def test_numbers_have_six_significant_digits_and_counts_all_of_theirs(tmp_path):
    path = tmp_path / "results.csv"
    values = {"parameters": 123456789, "train_cpu_s": 1234.56789, "label_s": 120.0}
    write_results([row(r2=0.123456789, r2_low=-2.5e-7, **values)], path)
    cells = dict(zip(COLUMNS, path.read_text().splitlines()[1].split(","), strict=True))
    assert cells["r2"] == "0.123457"
    assert cells["r2_low"] == "-2.5e-07"
    assert cells["parameters"] == "123456789"
    assert cells["train_cpu_s"] == "1234.57"
    assert cells["label_s"] == "120"


def test_undefined_is_an_empty_cell_and_comes_back_as_nan(tmp_path):
    path = tmp_path / "results.csv"
    write_results([row(r2=math.nan, r2_low=math.nan, lookahead_ms=math.inf)], path)
    cells = dict(zip(COLUMNS, path.read_text().splitlines()[1].split(","), strict=True))
    assert (cells["r2"], cells["r2_low"], cells["lookahead_ms"]) == ("", "", "inf")
    (again,) = read_results(path)
    assert math.isnan(again.r2)
    assert not again.causal


@settings(max_examples=25, deadline=None)
@given(
    r2=st.floats(-10, 1) | st.just(math.nan),
    label_s=st.just("all") | st.floats(1, 1e4),
    session=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1),
)
def test_what_was_written_is_read(tmp_path_factory, r2, label_s, session):
    path = tmp_path_factory.mktemp("results") / "results.csv"
    write_results([row(session=session, r2=r2, label_s=label_s)], path)
    once = read_results(path)
    assert once[0].session == session
    assert once[0].r2 == pytest.approx(r2, rel=1e-5, nan_ok=True)
    text = path.read_text()
    write_results(once, path)
    assert path.read_text() == text


def test_no_rows_are_a_header_alone(tmp_path):
    write_results([], tmp_path / "results.csv")
    assert read_results(tmp_path / "results.csv") == []


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(ValueError, match=r"results\.csv: expected a results file"):
        read_results(path)
    path.write_text("method,r2\nridge,0.5\n")
    with pytest.raises(ValueError, match="found method, r2"):
        read_results(path)
    path.write_text("")
    with pytest.raises(ValueError, match="empty file"):
        read_results(path)
    write_results([row()], path)
    path.write_text(path.read_text().replace("0.5", "good"))
    with pytest.raises(ValueError, match=r"results\.csv, line 2.*good"):
        read_results(path)
    path.write_text(",".join(COLUMNS) + "\nridge,day0\n")
    with pytest.raises(ValueError, match="line 2"):
        read_results(path)


def test_a_row_must_name_its_split_and_labels():
    with pytest.raises(ValueError, match="'validation' or 'test', arrived 'train'"):
        row(split="train")
    with pytest.raises(ValueError, match="0 or more, arrived -1"):
        row(label_s=-1.0)


def test_methods_are_shown_baselines_first_and_teacher_last():
    rows = [row(method) for method in ("student", "teacher_probe", "mine", "gru", "ridge")]
    assert methods_of(rows) == ["ridge", "gru", "mine", "student", "teacher_probe"]
    after = ["lstm", "transformer_mae_probe", "mamba_bidirectional", "teacher_probe"]
    assert methods_of([row(method) for method in reversed(after)]) == after
    assert set(methods_of(run_rows())) == {"ridge", "gru", "scratch", "student", "teacher_probe"}
