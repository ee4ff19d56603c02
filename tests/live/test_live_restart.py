"""A stopped stream goes on where it was, to the same bit, if the gap is short enough."""

from __future__ import annotations

import dataclasses
import json
import os
import signal as signals
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from live_cases import (
    PER_BIN,
    PLAIN,
    RecordingSink,
    ScriptedSource,
    blocks,
    decoder,
    expect,
    run,
    signal,
)

from realm.live import memory
from realm.live.loop import LiveLoop

SAMPLES = 2000
VOLTS, _ = signal(SAMPLES)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("cut", [200, 201])
@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_restart_goes_on_to_the_same_bit(
    tmp_path: Path, numbered: bool, cut: int, lookahead: int
) -> None:
    use, script = decoder(lookahead_bins=lookahead), blocks(VOLTS, 4, numbered)
    checked = dataclasses.replace(PLAIN, check_s=0.5)
    whole, _ = run(script, checked, use=use)
    state = tmp_path / "state"
    one, _ = run(script[:cut], checked, use=use, state_path=state)
    heard: list[str] = []
    other, status = run(script[cut:], checked, use=use, state_path=state, say=heard.append)
    expect(status, "bins", late=1)  # that of the neutral row at the stop
    expect(status, "stream")
    first = len(one.bin)
    assert f"bin {first}" in heard[0]
    np.testing.assert_array_equal(one.behavior[:-1], whole.behavior[: first - 1])
    np.testing.assert_array_equal(other.behavior[:-1], whole.behavior[first:-1])
    np.testing.assert_array_equal(other.bin, whole.bin[first:])


def test_a_restart_after_too_long_begins_anew(tmp_path: Path) -> None:
    script = blocks(VOLTS)
    run(script[:200], state_path=tmp_path / "state")
    settings = dataclasses.replace(PLAIN, longest_fill_s=0.2)
    heard: list[str] = []
    rows, status = run(script[300:], settings, state_path=tmp_path / "state", say=heard.append)
    expect(status, "stream", resets=1)
    expect(status, "bins", skipped=99)
    assert any("starts anew" in text for text in heard)
    np.testing.assert_array_equal(
        rows.behavior[:-1], decoder().forward(VOLTS[300 * PER_BIN :]).behavior
    )
    assert rows.bin[0] == 300


def test_a_restart_on_a_clock_set_back_begins_anew(tmp_path: Path) -> None:
    run(blocks(VOLTS[:1000], start_s=5000), state_path=tmp_path / "state")
    _, status = run(blocks(VOLTS[1000:], start_s=10), state_path=tmp_path / "state")
    expect(status, "stream", resets=1, clock_steps=1)
    expect(status, "samples")


def test_a_state_of_another_bundle_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state"
    run(blocks(VOLTS[:500]), state_path=path)
    before = path.read_bytes()
    sink = RecordingSink()
    other = LiveLoop(
        decoder(lookahead_bins=1), ScriptedSource([]), {"record": sink}, PLAIN, state_path=path
    )
    with pytest.raises(ValueError, match=f"{path}: state: expected"):
        other.run()
    assert path.read_bytes() == before
    assert not sink.opened


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    run(blocks(VOLTS[:500]), state_path=path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256"):
        run(blocks(VOLTS[500:]), state_path=path)


def test_a_disk_that_fails_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(memory, "write_bytes", full)
    monkeypatch.setattr(memory, "write_json", full)
    heard: list[str] = []
    _, status = run(
        blocks(VOLTS),
        state_path=tmp_path / "state",
        status_path=tmp_path / "status",
        say=heard.append,
    )
    assert status["samples"]["decoded"] == SAMPLES
    assert status["stream"]["state_errors"] >= 2  # both files, each second
    assert sum("No space" in text for text in heard) == 1
    assert not list(tmp_path.iterdir())


def test_the_status_file_says_the_final_counters(tmp_path: Path) -> None:
    _, status = run(blocks(VOLTS), status_path=tmp_path / "status.json")
    written = json.loads((tmp_path / "status.json").read_text())
    assert written["samples"] == status["samples"]
    assert written["bins"] == status["bins"]
    assert written["state"] == "ended"


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from live_cases import PLAIN, RecordingSink, ScriptedSource, blocks, decoder, signal
from realm.live.loop import LiveLoop
volts, _ = signal(200_000)
source = ScriptedSource(blocks(volts), live=True)
LiveLoop(decoder(), source, {"record": RecordingSink()}, PLAIN, state_path=Path(sys.argv[2])).run()
"""


def test_kill_9_leaves_a_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "state"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(path)]
    child = subprocess.Popen(command, env=dict(os.environ))
    try:
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signals.SIGKILL)
        child.wait(30)
    use = decoder()
    stream = LiveLoop(use, ScriptedSource([]), {}, PLAIN)._decoding.stream
    restored = memory.restore(path, stream.state, use)
    heard = restored.bins.heard
    assert heard > 0
    volts, _ = signal(200_000)
    whole, _ = use.step(volts[:heard], use.initial_state())
    assert len(whole.behavior) == restored.stream.bins
    np.testing.assert_array_equal(restored.behavior, whole.behavior[-1])


# Two at once, and files that are none -----------------------------------------------------------


@pytest.mark.parametrize("which", ["state_path", "status_path"])
def test_two_instances_do_not_share_a_file(tmp_path: Path, which: str) -> None:
    from realm.locks import Lock

    path = tmp_path / "file"
    with Lock(path), pytest.raises(ValueError, match=f"{path}: expected one process"):
        run(blocks(VOLTS), **{which: path})  # type: ignore[arg-type]
    run(blocks(VOLTS), **{which: path})  # type: ignore[arg-type]


def test_state_and_status_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    same = tmp_path / "other" / ".." / "file"
    with pytest.raises(ValueError, match="expected one file for the state and another"):
        run(blocks(VOLTS), state_path=tmp_path / "file", status_path=same)


@pytest.mark.parametrize("which", ["state_path", "status_path"])
def test_a_pipe_or_folder_is_no_file(tmp_path: Path, which: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match=f"{name}: expected a plain file"):
            run(blocks(VOLTS), **{which: tmp_path / name})  # type: ignore[arg-type]


def test_a_state_that_does_not_fit_is_refused_in_words_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"something else")
    with pytest.raises(ValueError, match="remove the file or name another") as error:
        run(blocks(VOLTS), state_path=tmp_path / "state")
    assert "initial_state" not in str(error.value)
