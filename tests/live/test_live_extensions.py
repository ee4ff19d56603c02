"""Sources and sinks of other packages, and old ones without what the protocols added later."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_cases import (
    INFO,
    NAMES,
    PLAIN,
    RATE_HZ,
    RecordingSink,
    ScriptedSource,
    blocks,
    bundle,
    decoder,
    signal,
)
from test_extensions import write_package

from realm import extensions
from realm.live.loop import LiveLoop
from realm.live.reader import Arrival, Connected, Ended, Gone, Message, Reader
from realm.live.registry import make_sink, make_source
from realm.live.sinks import is_immediate
from realm.live.sources import Source, can_wait, refused_messages
from realm.live.sources.recording_file import Piece, RecordingInfo, write_recording
from realm.live.status import Status

ROBOT = """
from realm.live.registry import Kind

class RobotSink:
    def __init__(self, where="nowhere", gain=1.0):
        self.where, self.gain = where, gain
    def open(self, info):
        self.file = open(self.where, "w")
    def write(self, outputs, status):
        for row in (self.gain * outputs.behavior).tolist():
            print(*row, file=self.file)
    def close(self):
        self.file.close()

SINK = Kind(RobotSink, "where", options={"gain": float})
WRONG = RobotSink
"""
POINTS = (
    "[realm.sinks]\nrobot = outsider_robot:SINK\ncsv = outsider_robot:SINK\n"
    "wrong = outsider_robot:WRONG\n[realm.sources]\namplifier = outsider_robot:SINK\n"
)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed package that adds a sink."""
    folder = tmp_path / "site"
    folder.mkdir()
    write_package(folder, "outsider_robot", POINTS, ROBOT)
    monkeypatch.syspath_prepend(folder)
    extensions.found.cache_clear()
    yield folder
    extensions.found.cache_clear()


def test_a_kind_of_another_package_is_made(outside: Path) -> None:
    sink: Any = make_sink("robot:arm?gain=2")
    assert (type(sink).__name__, sink.where, sink.gain) == ("RobotSink", "arm", 2.0)
    assert type(make_source("amplifier:x")).__name__ == "RobotSink"
    with pytest.raises(ValueError, match="expected gain"):
        make_sink("robot:arm?speed=2")
    with pytest.raises(ValueError, match="a where after the colon"):
        make_sink("robot")


def test_it_cannot_take_a_name_of_ours(outside: Path) -> None:
    assert type(make_sink("csv:x")).__name__ == "CSVLog"


def test_it_is_named_where_a_name_is_unknown(outside: Path) -> None:
    with pytest.raises(ValueError, match="csv, parquet, lsl, zmq, dashboard, robot, wrong"):
        make_sink("rabot:x")


def test_what_is_no_kind_is_refused(outside: Path) -> None:
    with pytest.raises(ValueError, match=r"wrong.*realm\.live\.registry\.Kind"):
        make_sink("wrong:x")


def test_the_command_line_sends_to_it(outside: Path, tmp_path: Path) -> None:
    bundle().save(tmp_path / "bundle")
    volts, times = signal(500)[0].astype(np.float32), np.arange(500) / RATE_HZ
    info = RecordingInfo("rat-1", NAMES, "V", RATE_HZ)
    write_recording(tmp_path / "day.safetensors", info, 500, [Piece(volts, times)])
    paths = [str(outside), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = f"live {tmp_path}/bundle --source replay:{tmp_path}/day.safetensors?speed=max"
    both = f"--sink robot:{tmp_path}/arm.txt?gain=2 --sink csv:{tmp_path}/rows.csv --check-s 0"
    subprocess.run(
        [sys.executable, "-m", "realm", *command.split(), *both.split()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        timeout=120,
    )
    with (tmp_path / "rows.csv").open() as stream:
        rows = [[float(row[f"y{i} [m/s]"]) for i in (0, 1)] for row in csv.DictReader(stream)]
    np.testing.assert_allclose(np.loadtxt(tmp_path / "arm.txt"), 2 * np.array(rows), rtol=1e-6)


class Plain:
    """A source as it could be written before `Source` had attributes."""

    def __init__(self) -> None:
        self._blocks = blocks(signal(500)[0], 50)

    open, close = ScriptedSource.open, ScriptedSource.close
    opened = closed = 0
    info, _script = INFO, ()

    def read(self, timeout_s: float) -> Any:
        from realm.live.sources import SourceEndedError

        if not self._blocks:
            raise SourceEndedError
        return self._blocks.pop(0)


def test_sources_and_sinks_without_the_attributes_have_their_defaults() -> None:
    source: Any = Plain()
    assert not can_wait(source)
    assert refused_messages(source) == 0
    sink = RecordingSink()
    assert not is_immediate(sink)  # type: ignore[arg-type]
    status = LiveLoop(decoder(), source, {"sink": sink}, PLAIN).run()  # type: ignore[dict-item]
    assert status.samples.received == 500
    assert sink.closed == 1


def test_a_subclass_of_the_protocol_has_the_defaults() -> None:
    class Mine(Source):
        def open(self) -> Any: ...

        def read(self, timeout_s: float) -> None: ...

        def close(self) -> None: ...

    assert (Mine().can_wait, Mine().refused_messages) == (False, 0)


class Refuses:
    """A receiver that refuses the first connection after its first samples."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.arrivals: list[Arrival] = []

    def announce(self, message: Message) -> None:
        self.messages.append(message)

    def receive(self, arrival: Arrival) -> bool:
        self.arrivals.append(arrival)
        return True

    def refuses(self, connection: int) -> bool:
        return connection == 1 and bool(self.arrivals)

    def until_rehearsal_s(self) -> float:
        return 0.01

    def rehearse(self) -> None:
        pass


def test_the_reader_needs_only_a_receiver() -> None:
    """A refused connection is closed and opened again; nobody calls the reader."""
    source, receiver = ScriptedSource(blocks(signal(500)[0], 50)), Refuses()
    reader = Reader(source, NAMES, RATE_HZ, 2, receiver, Status(), 0.01, None)  # type: ignore[arg-type]
    reader.start()
    reader.join(30)
    assert [a.connection for a in receiver.arrivals] == [1, *[2] * 9]
    assert source.opened == 2
    kinds = [type(message) for message in receiver.messages]
    assert kinds == [Connected, Connected, Ended]
    assert Gone not in kinds
