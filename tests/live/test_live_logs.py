"""Logs of decoded behavior: CSV and Parquet, full disks, crashes, files that are there already."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realm.live.outputs import OutputInfo, Outputs
from realm.live.registry import make_sink
from realm.live.sinks.csv import CSVLog

INFO = OutputInfo("rat-1", ("x", "y"), "m/s", ("a", "b", "c"), 10.0, 20.0, "0" * 64)
COLUMNS = [
    "bin",
    "time_s",
    "x [m/s]",
    "y [m/s]",
    "latency_ms",
    "filled_share",
    "bad_channels",
    "clipped_channels",
    "gap",
    "neutral",
    "held",
    "true_x [m/s]",
    "true_y [m/s]",
]


def outputs(first: int, rows: int, truth: bool = False) -> Outputs:
    """Rows whose every value follows from the index of their bin."""
    k = np.arange(first, first + rows)
    behavior = np.stack([k / 7, -k / 3], axis=1).astype(np.float32)
    known = behavior * 2
    known[k % 5 == 0] = np.nan
    return Outputs(
        bin=k,
        time_s=1e5 + k / 100,
        behavior=behavior,
        latency_ms=k / 1000,
        filled_share=(k % 4) / 4,
        bad_channels=k % 3,
        clipped_channels=k % 2,
        gap=k % 4 == 3,
        neutral=k % 6 == 1,
        held=k % 8 == 2,
        filled=np.stack([k % 4, k % 3, k % 2], axis=1) / 4,
        truth=known if truth else None,
    )


def rows_of(path: Path) -> list[list[str]]:
    """The lines after the heading; every line is whole."""
    text = path.read_text()
    assert text.endswith("\n")
    header, *rows = csv.reader(text.splitlines())
    assert header == COLUMNS
    assert {len(row) for row in rows} <= {len(COLUMNS)}
    return rows


def table(folder: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(folder)


def parquet_log(path: Path, **more: Any) -> Any:
    pytest.importorskip("pyarrow")
    from realm.live.sinks.parquet import ParquetLog

    return ParquetLog(path, **more)


def test_csv_holds_every_row_as_it_was(tmp_path: Path) -> None:
    log = CSVLog(tmp_path / "new" / "log.csv")
    log.open(INFO)
    for first, rows in ((0, 0), (0, 1), (1, 9), (10, 50)):
        log.write(outputs(first, rows, truth=first > 0), dict)
    rows = rows_of(tmp_path / "new" / "log.csv")  # open still
    assert [int(row[0]) for row in rows] == list(range(60))
    expected = outputs(0, 60, truth=True)
    np.testing.assert_allclose([float(r[1]) for r in rows], expected.time_s, atol=1e-6)
    found = np.array([[np.float32(r[2]), np.float32(r[3])] for r in rows])
    np.testing.assert_array_equal(found, expected.behavior)  # to the bit
    for column, field in ((8, "gap"), (9, "neutral"), (10, "held"), (6, "bad_channels")):
        assert [int(r[column]) for r in rows] == getattr(expected, field).astype(int).tolist()
    for k, row in enumerate(rows):
        unknown = k == 0 or k % 5 == 0
        assert (row[11] == "") == unknown
        assert unknown or np.float32(row[11]) == expected.truth[k, 0]  # type: ignore[index]
    log.close()
    log.close()


def test_csv_never_writes_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("precious\n")
    with pytest.raises(ValueError, match=r"log\.csv.*exists.*append=yes"):
        CSVLog(path).open(INFO)
    with pytest.raises(ValueError, match="found others"):
        CSVLog(path, append=True).open(INFO)
    assert path.read_text() == "precious\n"


def test_csv_goes_on_with_its_own_file_when_told(tmp_path: Path) -> None:
    for first in (0, 5):
        log = make_sink(f"csv:{tmp_path / 'log.csv'}?append=yes")
        log.open(INFO)
        log.write(outputs(first, 5), dict)
        log.close()
    assert [int(row[0]) for row in rows_of(tmp_path / "log.csv")] == list(range(10))


def test_csv_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    log = CSVLog(tmp_path / "log.csv")
    for first in (0, 5):
        log.open(INFO)
        log.write(outputs(first, 5), dict)
        log.close()
    assert len(rows_of(tmp_path / "log.csv")) == 10


@pytest.mark.parametrize("cut", range(1, 60))
def test_csv_repairs_a_line_that_was_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.csv"
    log = CSVLog(path)
    log.open(INFO)
    log.write(outputs(0, 1), dict)
    log.close()
    path.write_bytes(path.read_bytes()[:-cut])
    log = CSVLog(path, append=True)
    log.open(INFO)
    log.write(outputs(1, 2), dict)
    log.close()
    assert [int(row[0]) for row in rows_of(path)] == [1, 2]


def test_csv_that_was_removed_says_so(tmp_path: Path) -> None:
    log = CSVLog(tmp_path / "log.csv")
    log.open(INFO)
    (tmp_path / "log.csv").unlink()
    with pytest.raises(OSError, match="removed"):
        log.write(outputs(0, 1), dict)


FULL_DISK = """
import resource, sys
from test_live_logs import INFO, outputs
from realm.live.registry import make_sink
log = make_sink(sys.argv[1])
log.open(INFO)
log.write(outputs(0, 100), dict)
{prepare}
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
refused = []
for first in range(100, 400, 100):
    try:
        log.write(outputs(first, 100), dict)
        print("taken", first)
    except OSError as error:
        assert sys.argv[1].split(":")[1] in str(error), error
        refused.append(first)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
log.write(outputs(400, 100), dict)
log.close()
print("refused", *refused)
"""


def full_disk(spec: str, limit: int, prepare: str = "") -> str:
    code = FULL_DISK.replace("{prepare}", prepare).replace("{{}}", "{}")
    done = subprocess.run(
        [sys.executable, "-c", code, spec, str(limit)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_csv_on_a_full_disk_refuses_whole_calls_and_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    assert full_disk(f"csv:{path}", limit=16_000) == "taken 100\nrefused 200 300"
    bins = [int(row[0]) for row in rows_of(path)]
    assert bins == [*range(200), *range(400, 500)]


def test_parquet_on_a_full_disk_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "log"
    said = full_disk(f"parquet:{path}", limit=2_000, prepare="log.part_s = 0")
    assert said == "refused 100 200 300"  # the first hundred wait in memory
    assert sorted(table(path)["bin"].to_pylist()) == [*range(100), *range(400, 500)]
    assert not [entry for entry in path.iterdir() if entry.name.endswith(".part")]


def test_parquet_that_cannot_be_finished_says_how_many_rows_are_lost(tmp_path: Path) -> None:
    log = parquet_log(tmp_path / "log")
    log.open(INFO)
    log.write(outputs(0, 70), dict)
    (tmp_path / "log").rmdir()
    with pytest.raises(OSError, match="last 70 rows are lost"):
        log.close()
    log.close()


KILLED = """
import itertools, sys
from test_live_logs import INFO, outputs
from realm.live.registry import make_sink
log = make_sink(sys.argv[1])
if hasattr(log, "part_s"):
    log.part_s = 0.0
log.open(INFO)
for call in itertools.count():
    log.write(outputs(call * 10, 10), dict)
    print(call, flush=True)
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_log_is_readable_after_kill_9(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "log"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, f"{kind}:{path}"],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    calls = 0
    for line in child.stdout:
        calls = int(line) + 1
        if calls == 25:
            child.kill()
    assert child.wait() == -signal.SIGKILL
    read = rows_of(path) if kind == "csv" else table(path)["bin"].to_pylist()
    bins = [int(row[0]) if kind == "csv" else row for row in read]
    assert sorted(bins) == list(range(len(bins)))
    # The rows of the last call wait for the next in Parquet; those of CSV are there.
    assert len(bins) >= (calls if kind == "csv" else calls - 1) * 10


def test_parquet_holds_every_row_and_the_facts(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    log = parquet_log(tmp_path / "log", part_s=0.0)
    log.open(INFO)
    for first, rows in ((0, 1), (1, 9), (10, 0), (10, 50)):
        log.write(outputs(first, rows, truth=first > 0), dict)
    log.close()
    log.close()
    found, expected = table(tmp_path / "log"), outputs(0, 60, truth=True)
    order = np.argsort(found["bin"].to_numpy())
    for name in ("bin", "time_s", "latency_ms", "filled_share", "bad_channels", "gap", "held"):
        np.testing.assert_array_equal(found[name].to_numpy()[order], getattr(expected, name))
    np.testing.assert_array_equal(found["y"].to_numpy()[order], expected.behavior[:, 1])
    filled = np.array(found["filled"].to_pylist())[order]
    np.testing.assert_allclose(filled, expected.filled, rtol=1e-6)
    truth = [found["true_x"].to_pylist()[i] for i in order]
    assert [k for k, value in enumerate(truth) if value is None] == list(range(0, 60, 5))
    schema = pq.read_schema(tmp_path / "log" / "part-000000.parquet")
    assert schema.field("x").metadata == {b"unit": b"m/s"}
    assert json.loads(schema.metadata[b"realm"])["session_id"] == "rat-1"


def test_parquet_writes_parts_only_when_they_are_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = parquet_log(tmp_path / "log")
    now = [50.0]
    monkeypatch.setattr("realm.live.sinks.parquet.now_s", lambda: now[0])
    log.open(INFO)
    for first in range(0, 2500, 100):  # 25 s
        log.write(outputs(first, 100), dict)
        now[0] += 1.0
    assert [table(p).num_rows for p in sorted((tmp_path / "log").iterdir())] == [1000, 1000]
    log.close()
    assert table(tmp_path / "log").num_rows == 2500


def test_parquet_never_writes_over_a_log_and_goes_on_when_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first = parquet_log(path)
    first.open(INFO)
    first.write(outputs(0, 5), dict)
    first.close()
    with pytest.raises(ValueError, match=r"append=yes"):
        parquet_log(path).open(INFO)
    with pytest.raises(ValueError, match="something else"):
        parquet_log(path, append=True).open(INFO._replace(behavior_unit="cm/s"))
    again = parquet_log(path, append=True)
    again.open(INFO)
    again.write(outputs(5, 5), dict)
    again.close()
    assert sorted(table(path)["bin"].to_pylist()) == list(range(10))


@pytest.mark.parametrize("content", [b"", b"PAR1 not really"])
def test_parquet_refuses_a_folder_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part-000000.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"part-000000\.parquet, which is something else"):
        parquet_log(tmp_path, append=True).open(INFO)
    with pytest.raises(ValueError, match="found a file"):
        parquet_log(tmp_path / "part-000000.parquet").open(INFO)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_behavior_named_like_another_column_is_refused(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="held"):
        make_sink(f"{kind}:{tmp_path / 'log'}").open(INFO._replace(behavior_names=("held", "y")))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_log_that_is_not_open_takes_nothing(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(OSError, match="open it first"):
        make_sink(f"{kind}:{tmp_path / 'log'}").write(outputs(0, 1), dict)


# Two at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_log_has_one_writer(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    text = f"{kind}:{tmp_path / 'log'}?append=yes"
    one, other = make_sink(text), make_sink(text)
    one.open(INFO)
    with pytest.raises(ValueError, match="expected one process"):
        other.open(INFO)
    one.write(outputs(0, 5), dict)
    one.close()
    other.open(INFO)  # again, once it is free
    other.write(outputs(5, 5), dict)
    other.close()


def test_a_log_is_a_plain_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a plain file"):
        CSVLog(tmp_path / "pipe", append=True).open(INFO)
