"""Workers end with what started them, and begin nothing more."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realm.workers import Workers


def test_results_come_back() -> None:
    with Workers(2) as pool:
        assert list(pool.map(abs, [-1, -2, 3])) == [1, 2, 3]
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()


def test_an_exception_ends_the_work_and_begins_no_more(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    begun, late = tmp_path / "begun", tmp_path / "late"
    with pytest.raises(KeyboardInterrupt):
        interrupted(begun, late)
    assert begun.exists()
    assert not late.exists()
    assert multiprocessing.active_children() == []
    assert signal.getsignal(signal.SIGINT) is before


def interrupted(begun: Path, late: Path) -> None:
    """Ctrl-C while a worker is busy, one task is handed to it and more wait."""
    with Workers(1) as pool:
        pool.submit(begun.touch).result()
        busy = pool.submit(time.sleep, 300)
        for _ in range(3):
            pool.submit(late.touch)
        while not busy.running():
            time.sleep(0.01)
        raise KeyboardInterrupt


ORPHANS = """
import os, sys, time
from realm.workers import Workers

def work(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    with Workers(2) as pool:
        pool.submit(work, sys.argv[1] + "/one")
        pool.submit(work, sys.argv[1] + "/two")
        time.sleep(60)
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    paths = [tmp_path / "one", tmp_path / "two"]
    until = time.monotonic() + 120
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    workers = [int(path.read_text()) for path in paths]
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker lives on"
        time.sleep(0.1)
