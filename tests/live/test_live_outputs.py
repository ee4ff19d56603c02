"""The columns of the output are one table: each log and sink shows what it says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
import pytest
from live_cases import PLAIN, blocks, run, signal

from realm.live import outputs as module
from realm.live.outputs import Column, OutputInfo, Outputs, lsl_columns

INFO = OutputInfo("rat-1", ("x", "y"), "m/s", ("a", "b", "c"), 10.0, 20.0, "0" * 64)


def test_what_consumers_know_stays_where_it_is() -> None:
    before = ["bin", "time_s", "x", "y", "latency_ms", "filled_share", "bad_channels"]
    after = ["clipped_channels", "gap", "neutral", "held"]
    assert [name for name, _ in module.columns(INFO, truth=False)] == before + after
    assert [name for name, _ in module.columns(INFO)] == [*before, *after, "true_x", "true_y"]
    assert list(lsl_columns()) == ["bin", "neutral", "held", "bad_channels", "latency_ms"]


def test_every_column_says_what_it_holds() -> None:
    assert all(column.holds and column.unit for _, column in module.columns(INFO))


@pytest.fixture
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one line in `Outputs` changes: `restarted` becomes a column."""
    hints = get_type_hints(Outputs, include_extras=True)
    hints["restarted"] = Annotated[Any, Column(bool, "bool", "the decoder started anew")]
    wider = NamedTuple("Outputs", list(hints.items()))  # type: ignore[misc]
    wider.__new__.__defaults__ = (None, None)  # as `Outputs` has them
    monkeypatch.setattr(module, "Outputs", wider)


@pytest.mark.usefixtures("_one_more")
def test_a_new_quality_column_is_one_line(tmp_path: Path) -> None:
    volts, _ = signal(500)
    rows, _ = run(blocks(volts, 50), PLAIN)
    assert rows.restarted is not None
    assert len(rows.restarted) == len(rows.bin)
    rows = rows._replace(restarted=rows.bin % 2 == 1)
    info = INFO._replace(behavior_names=("y0", "y1"), channel_names=tuple("abcdefgh"))

    from realm.live.sinks.csv import CSVLog

    log = CSVLog(tmp_path / "rows.csv")
    log.open(info)
    log.write(rows, dict)
    log.close()
    with (tmp_path / "rows.csv").open() as stream:
        assert [row["restarted"] for row in csv.DictReader(stream)][:3] == ["0", "1", "0"]

    from realm.live.zmq_format import encode_behavior

    _, header, content = encode_behavior(info, rows)
    names = json.loads(header)["columns"]
    sent = np.frombuffer(content, "<f8").reshape(-1, len(names))
    np.testing.assert_array_equal(sent[:, names.index("restarted")], rows.restarted)
    assert list(lsl_columns())[-1] == "restarted"

    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from realm.live.sinks.parquet import ParquetLog

    parquet = ParquetLog(tmp_path / "rows.parquet")
    parquet.open(info)
    parquet.write(rows, dict)
    parquet.close()
    stored = pq.read_table(tmp_path / "rows.parquet").column("restarted")
    assert stored.to_pylist() == rows.restarted.tolist()


@pytest.mark.usefixtures("_one_more")
def test_lsl_sends_a_new_column_last(monkeypatch: pytest.MonkeyPatch) -> None:
    pylsl = pytest.importorskip("pylsl")
    from realm.live.sinks.lsl import LSLSink

    sent: list[Any] = []

    class Outlet:
        def __init__(self, described: Any, **_: Any) -> None:
            self.labels = described.get_channel_labels()

        def push_sample(self, row: list[float], time_s: float) -> None:
            sent.append(dict(zip(self.labels, row, strict=True)))

    monkeypatch.setattr(pylsl, "StreamOutlet", Outlet)
    rows = module.own_rows(7, 3, 1.0, 0.01, np.zeros(2), True, 3)
    sink = LSLSink()
    sink.open(INFO)
    sink.write(rows._replace(restarted=np.array([False, True, False])), dict)
    assert [row["restarted"] for row in sent] == [0, 1, 0]
    assert list(sent[0])[-1] == "restarted"
    assert [row["bad_channels"] for row in sent] == [3, 3, 3]
