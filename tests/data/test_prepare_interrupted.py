"""Preparation that is killed or meets a full disk leaves what was there, and goes on afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from data_cases import DATA, SIGNAL

from realm.data import prepare
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession

START = """
import resource, sys, time
from realm.data import prepared_file
from realm.data.config import DataConfig
from realm.recordings.recording import Recording
from realm.data.prepare import prepare_session
from realm.signal import SignalConfig
source, out, data = sys.argv[1:]
data = DataConfig.model_validate_json(data)
"""
SLOWLY = """
prepared_file.BLOCK_VALUES = 500
plain = Recording.read
def read(self, start, stop):
    time.sleep(0.05 if start else 0)
    return plain(self, start, stop)
Recording.read = read
prepare_session(source, out, SignalConfig(), data)
"""
FULL_DISK = """
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    prepare_session(source, out, SignalConfig(smoothing_ms=40.0), data)
except OSError as error:
    print(error)
"""


def start(code: str, source: Path, out: Path) -> subprocess.Popen[str]:
    paths = [str(Path(prepare.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", START + code, str(source), str(out), DATA.model_dump_json()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_killed_in_the_middle(recording_path: Path, tmp_path: Path) -> None:
    process = start(SLOWLY, recording_path, tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*.part")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(tmp_path.glob("*.h5"))
    path = prepare_session(recording_path, tmp_path, SIGNAL, DATA)
    assert PreparedSession.load(path).n_bins == 6000


def test_full_disk_keeps_the_earlier_file(recording_path: Path, tmp_path: Path) -> None:
    path = prepare_session(recording_path, tmp_path, SIGNAL, DATA)
    before = path.read_bytes()
    said = start(FULL_DISK, recording_path, tmp_path).communicate()[0]
    assert f"could not write {path}" in said
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
