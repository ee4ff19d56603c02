"""One process at a time, and nothing left of a process that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from realm.locks import Lock

pytest.importorskip("fcntl")
HOLD = """
import sys, time
from realm.locks import Lock
lock = Lock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "state"):
        with Lock(path):
            with pytest.raises(ValueError, match=f"{path}: expected one process") as error:
                Lock(path)
            assert "name another place" in str(error.value)
        Lock(path).close()
    assert not list(tmp_path.iterdir())


def test_different_files_have_different_locks(tmp_path: Path) -> None:
    with Lock(tmp_path / "a"), Lock(tmp_path / "b"), Lock(tmp_path):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_no_lock(tmp_path: Path, how: signal.Signals) -> None:
    path = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match="another one does"):
        Lock(path)
    process.send_signal(how)
    process.wait()
    Lock(path).close()
