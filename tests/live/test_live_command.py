"""`realm live` as a lab runs it: a process of its own, with the packages of a rig alone."""

from __future__ import annotations

import csv
import json
import os
import signal as signals
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from live_cases import INFO, NAMES, RATE_HZ, bundle, decoder, signal

from realm.live.sources.recording_file import Piece, RecordingInfo, write_recording

SAMPLES = 2500
# Absent is what the base installation does not bring. Newer versions of typer bring pydantic, so
# the command line may load it; that the package itself does not is tested below.
AS_ON_A_RIG = """
import sys
ABSENT = ("torch", "torch_brain", "ray", "h5py", "pynwb", "sklearn", "matplotlib",
          "accelerate", "huggingface_hub", "pylsl", "zmq", "aiohttp", "pyarrow", "ezmsg", "onnx")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Absent())
from realm.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle and a recording."""
    folder = tmp_path_factory.mktemp("rig")
    bundle().save(folder / "bundle")
    info = RecordingInfo("rat-1", NAMES, "V", RATE_HZ)
    times = np.arange(SAMPLES) / RATE_HZ
    pieces = [Piece(signal(SAMPLES)[0].astype(np.float32), times)]
    write_recording(folder / "day.safetensors", info, SAMPLES, pieces)
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", AS_ON_A_RIG, "live", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_replay_is_decoded_without_torch(folder: Path, tmp_path: Path) -> None:
    made, status = tmp_path / "made.csv", tmp_path / "status.json"
    child = start(
        folder,
        "bundle",
        "--source",
        "replay:day.safetensors?speed=max",
        "--sink",
        f"csv:{made}",
        "--status",
        str(status),
        "--check-s",
        "0",
    )
    said, heard = child.communicate(timeout=120)
    assert child.returncode == 0, heard
    assert f"samples: {SAMPLES} received, {SAMPLES} decoded, 0 dropped, 0 filled in" in said
    assert f"{INFO.unit} at {RATE_HZ:g} Hz" in heard
    rows = rows_of(made)
    assert len(rows) == SAMPLES // 5 + 1
    found = np.array([[float(v) for k, v in row.items() if k.startswith("y")] for row in rows])
    expected = decoder().forward(signal(SAMPLES)[0].astype(np.float32)).behavior
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-5, atol=1e-6)
    assert json.loads(status.read_text())["state"] == "ended"


@pytest.mark.parametrize("by", [signals.SIGTERM, signals.SIGINT])
def test_a_signal_ends_it_in_order(folder: Path, tmp_path: Path, by: signals.Signals) -> None:
    made, state, status = (tmp_path / name for name in ("made.csv", "state", "status.json"))
    child = start(
        folder,
        "bundle",
        "--source",
        "replay:day.safetensors",
        "--sink",
        f"csv:{made}",
        "--state",
        str(state),
        "--status",
        str(status),
    )
    deadline = time.monotonic() + 120
    while not status.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(by)
    said, heard = child.communicate(timeout=60)
    assert child.returncode == 0, heard
    counted = json.loads(status.read_text())
    assert counted["state"] == "ended"
    assert 0 < counted["samples"]["received"] < SAMPLES
    assert (
        counted["samples"]["received"]
        == counted["samples"]["decoded"] + (counted["samples"]["dropped"])
    )
    rows = rows_of(made)
    assert len(rows) == counted["bins"]["given"] == counted["sinks"][f"csv:{made}"]["written"]
    assert rows[-1]["neutral"] == "1"
    assert state.exists()
    assert "samples:" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bundle", "--source", "tape:x"), "expected one of replay, lsl, zmq"),
        (("bundle", "--source", "replay:none.safetensors"), "none.safetensors"),
        (("nothing", "--source", "replay:day.safetensors"), "nothing"),
        (("bundle", "--source", "replay:day.safetensors", "--late-ms", "0"), "late_ms: expected"),
        (("bundle", "--source", "replay:day.safetensors", "--unit", "furlong"), "furlong"),
        (("bundle", "--source", "lsl:Amplifier"), "realm-lfp[live]"),
        (
            ("bundle", "--source", "replay:day.safetensors", "--sink", "dashboard"),
            "realm-lfp[live]",
        ),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    child = start(folder, *arguments)
    _, heard = child.communicate(timeout=120)
    assert child.returncode == 2
    assert message in heard
    assert "Traceback" not in heard


def test_a_wrong_unit_ends_with_the_reason(folder: Path) -> None:
    child = start(folder, "bundle", "--source", "replay:day.safetensors?speed=max", "--unit", "uV")
    _, heard = child.communicate(timeout=120)
    assert child.returncode == 2
    assert "volts declared as microvolts" in heard


def test_the_help_has_examples(folder: Path) -> None:
    child = start(folder, "--help")
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    assert "Examples:" in said
    assert "--source lsl:Amplifier" in said


def test_the_live_package_loads_nothing_of_the_training_or_the_command_line() -> None:
    heavy = (
        "torch",
        "pydantic",
        "ray",
        "h5py",
        "pynwb",
        "typer",
        "rich",
        "pylsl",
        "zmq",
        "aiohttp",
        "pyarrow",
    )
    code = (
        "import sys, realm.live.loop, realm.live.registry\n"
        "realm.live.registry.make_source('replay:x')\n"
        "realm.live.registry.make_sink('csv:x')\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nothing_that_a_source_says_moves_the_cursor() -> None:
    from realm.commands.terminal import plain_text, printable

    assert printable("amp\x1b[2J\x07\r\n") == "amp\ufffd[2J\ufffd\ufffd\n"
    assert "\x1b" not in plain_text("session \x1b]0;x\x07")
