"""Compiled code kept on disk is right or absent, whoever else writes it at the same time."""

from __future__ import annotations

import ast
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from realm.compiling import PACKAGE, SOURCES, KeptCode, compiled, sources_sha256

# What compiles, by itself or through the decorators of these modules.
DECORATORS = ("realm import compiling", "realm.compiling", "compiled.jit", "compiled.elementary")
USERS = [p for p in PACKAGE.rglob("*.py") if any(d in p.read_text() for d in DECORATORS)]

MODULE = """
import numpy as np
from realm.compiling import compiled

@compiled()
def weighted(x, factor, offset):
    total = 0.0
    for k in range(x.size):
        total += x[k] * factor
    return total + offset

def double():
    return weighted(np.ones(1000), 2.0, 3)

def single():
    return weighted(np.ones(1000, np.float32), 2, 3.0)
"""


def kept(folder: Path, stamp: str = "one") -> KeptCode:
    return KeptCode(str(folder), "function-1.py311", stamp)


def test_what_is_kept_comes_back_and_only_for_its_key(tmp_path: Path) -> None:
    file = kept(tmp_path)
    assert file.load(("float64", "cpu")) is None
    for key in [("float64", "cpu"), ("float32", "cpu"), ("float64", "other cpu")]:
        file.save(key, (key, b"code"))
    for key in [("float64", "cpu"), ("float32", "cpu"), ("float64", "other cpu")]:
        assert kept(tmp_path).load(key) == (key, b"code")
    file.flush()
    assert file.load(("float64", "cpu")) is None
    assert list(tmp_path.iterdir()) == []


def test_other_sources_are_other_code(tmp_path: Path) -> None:
    kept(tmp_path, "one").save("key", "old code")
    assert kept(tmp_path, "two").load("key") is None
    kept(tmp_path, "two").save("key", "new code")
    assert kept(tmp_path, "two").load("key") == "new code"
    assert kept(tmp_path, "one").load("key") is None


def test_a_file_under_the_wrong_name_is_not_taken(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.save("a", "code of a")
    file.save("b", "code of b")
    shutil.copy(file._path("a"), file._path("b"))
    assert file.load("b") is None
    assert file.load("a") == "code of a"


def test_damaged_files_count_as_absent(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.save("key", list(range(50)))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert file.load("key") is None
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert file.load("key") is None
    file.save("key", "again")
    assert file.load("key") == "again"


def _save_and_load(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(300):
        key = f"types {rng.integers(20)}"
        file = kept(folder)
        if rng.random() < 0.5:
            file.save(key, key * 1000)
        else:
            assert file.load(key) in (None, key * 1000)


def test_processes_that_write_at_once_never_read_what_is_not_theirs(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_save_and_load, args=(tmp_path, k)) for k in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert [each.exitcode for each in started] == [0] * 4
    assert not list(tmp_path.glob("*.tmp.*"))


def test_processes_that_compile_in_another_order_get_their_own_code(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    code = "import module; assert module.{}() == 2003; assert module.{}() == 2003; print('right')"

    def start(first: str, second: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code.format(first, second)]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    for _ in range(2):  # compiling, then reading
        both = start("double", "single"), start("single", "double")
        assert [each.communicate()[0] for each in both] == ["right\n"] * 2
    assert len(list(tmp_path.rglob("*.nbc"))) == 2
    assert not list(tmp_path.rglob("*.nbi"))


def test_signatures_are_compiled_at_once_and_no_others() -> None:
    @compiled("float64(float64)")
    def half(x: float) -> float:
        return x / 2

    assert len(half.signatures) == 1  # type: ignore[attr-defined]
    assert half(3) == 1.5
    with pytest.raises(TypeError, match="No matching definition"):
        half("text")  # type: ignore[arg-type]


def test_the_digest_is_of_every_source_that_matters(tmp_path: Path) -> None:
    package = tmp_path / "realm"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = sources_sha256(package)
    for changed in ("signal/normalize.py", "streaming/fused.py", "live/placing.py"):
        path = package / changed
        path.write_text(path.read_text() + "\n")
        sources_sha256.cache_clear()
        after = sources_sha256(package)
        assert after != before
        before = after
    (package / "report" / "__init__.py").write_text("# not compiled\n")
    sources_sha256.cache_clear()
    assert sources_sha256(package) == before


@pytest.mark.parametrize("path", USERS, ids=lambda p: p.stem)
def test_compiled_modules_use_nothing_outside_the_digest(path: Path) -> None:
    covered = tuple(str(PACKAGE / part) for part in SOURCES)
    used = [path]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("realm."):
            at = PACKAGE.parent / node.module.replace(".", "/")
            used.append(at if at.is_dir() else at.with_suffix(".py"))
    for each in used:
        assert str(each).startswith(covered), f"{each} is not in SOURCES"
