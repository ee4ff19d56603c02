"""Files are whole or absent, and what cannot be read is said by name."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from realm.files import (
    append_line,
    atomic_path,
    make_folder,
    read_json,
    read_tensors,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes; not a fixture, whose limit would hit pytest's output."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "earlier")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"earlier")
    full = pytest.raises(OSError, match=r"could not write .*a\.bin.*Free space")
    with small_disk(), full as caught:
        write_bytes(path, bytes(2000))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]
    with small_disk(), pytest.raises(OSError, match=r"log\.jsonl"):
        append_line(tmp_path / "log.jsonl", "x" * 2000)


def test_files_have_the_permissions_of_the_user(tmp_path: Path) -> None:
    earlier = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
    finally:
        os.umask(earlier)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write in the folder .*file/a.*Choose another"):
        make_folder(tmp_path / "file" / "a")
    with pytest.raises(OSError, match="cannot write in the folder"):
        write_text(tmp_path / "file" / "a" / "b.txt", "b")


def test_json_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, None]})
    assert read_json(path) == {"b": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"b": float("nan")})
    assert json.loads(path.read_text()) == {"b": [1, None]}
    path.write_text('{"b": [1,')
    with pytest.raises(ValueError, match=r"a\.json: expected JSON"):
        read_json(path)
    with pytest.raises(ValueError, match=r"none\.json: expected a JSON file"):
        read_json(tmp_path / "none.json")


def test_tensors_come_back_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.normal(size=(3, 4)).T,  # not contiguous
        "b": np.arange(3, dtype=np.int64),
        "c": np.zeros((0, 2), np.float32),
        "d": np.array([True, False]),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    found = read_tensors(tmp_path / "t.safetensors")
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04}"])
def test_what_is_no_tensor_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "t.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.safetensors: expected .*safetensors"):
        read_tensors(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", {"w": np.array([1.0, np.nan])})
    with pytest.raises(ValueError, match=r"t\.safetensors: expected finite numbers, but 'w'"):
        read_tensors(tmp_path / "t.safetensors")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == known
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
