"""Damaged headers of every format end in a message with the file's name, and cost no memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from every_format import WRITERS

from realm.recordings.open import open_recording

TESTS = Path(__file__).parents[1]


def damaged(count: int, folder: Path, *kinds: str) -> list[list[str]]:
    """What went wrong in `count` damaged recordings; they are read in a process of their own."""
    path = os.pathsep.join([*sys.path, str(TESTS), str(TESTS / "recordings")])
    done = subprocess.run(
        [sys.executable, str(TESTS / "recordings" / "fuzz.py"), str(count), str(folder), *kinds],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    last = folder / "last"
    where = last.read_text() if last.exists() else "the first"
    assert done.returncode == 0, f"died at {where}: {done.stderr[-2000:]}"
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_a_few_hundred_damaged_recordings(tmp_path: Path) -> None:
    assert damaged(20 * len(WRITERS), tmp_path) == []


@pytest.mark.slow
def test_ten_thousand_damaged_recordings(tmp_path: Path) -> None:
    assert damaged(10_000, tmp_path) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_a_recording_of_nothing_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    if path.is_dir():
        for file in path.rglob("*.json"):
            file.write_bytes(b"")
    else:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="expected") as caught:
        open_recording(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", ["nwb", "hdf5", "matlab73"])
def test_a_truncated_file_is_said_to_be_truncated(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path.name}: expected an? .*truncated"):
        open_recording(path)
