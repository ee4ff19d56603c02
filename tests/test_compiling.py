"""Compiled code kept on disk is right or absent, whoever else writes it at the same time."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import caching, registry, serialize

from realm import compiling
from realm.compiled_cache import PACKAGE, KeptCode
from realm.compiling import compiled, jitable, load_compiled

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
    """A change to a constant that a module imports, however far away, is other code."""
    package = tmp_path / "realm"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys; from pathlib import Path; from realm.compiled_cache import sources_sha256\n"
        "print(sources_sha256(Path(sys.argv[1])))\n"
    )

    def digest(file: str) -> str:
        command = [sys.executable, "-c", code, str(package / file)]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.check_output(command, env=environment, text=True)

    chunks, samples = "nn/compiled/chunks.py", "signal/compiled/samples.py"
    before = {file: digest(file) for file in (chunks, samples)}
    (package / "report" / "__init__.py").write_text("# not compiled\n")
    assert {file: digest(file) for file in before} == before
    for changed, dependent in (
        (chunks, chunks),
        ("nn/ssd.py", chunks),
        ("streaming/student.py", chunks),  # through streaming/fused.py
        ("signal/config.py", samples),  # through signal/guard.py
        ("compiling.py", samples),
    ):
        path = package / changed
        path.write_text(path.read_text() + "\n")
        after = digest(dependent)
        assert after != before[dependent], changed
        before[dependent] = after


# What is used of numba that it does not promise to keep.


def test_the_insides_of_numba_are_as_expected(tmp_path: Path) -> None:
    """It fails first when a new version of numba moves them; `compiled_cache.py` uses no others."""
    made = caching.FunctionCache(_twice)
    for name in ("_cache_file", "cache_path", "load_overload", "save_overload"):
        assert hasattr(made, name), name
    for name in ("load", "save", "flush"):
        assert callable(getattr(made._cache_file, name)), name
    assert serialize.loads(serialize.dumps(("key", 1.5, b"code"))) == ("key", 1.5, b"code")
    assert hasattr(numba.njit(_twice), "_cache")
    assert isinstance(numba.njit(_twice), registry.CPUDispatcher)
    assert hasattr(numba.config, "DISABLE_JIT")
    assert callable(numba.extending.register_jitable)
    used = (PACKAGE / "compiled_cache.py").read_text()
    assert set(re.findall(r"numba\.core[.\w]*", used)) == {
        "numba.core.caching",
        "numba.core.caching.FunctionCache",
        "numba.core.serialize",
        "numba.core.serialize.dumps",
        "numba.core.serialize.loads",
        "numba.core.registry.CPUDispatcher",
    }


def test_numba_asks_our_cache_and_takes_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    first: Any = compiled()(_twice)
    assert first(3.0) == 6.0
    assert [path.suffix for path in tmp_path.rglob("*.*") if path.is_file()] == [".nbc"]
    assert (sum(first.stats.cache_hits.values()), sum(first.stats.cache_misses.values())) == (0, 1)
    again: Any = compiled()(_twice)
    assert again(3.0) == 6.0
    assert (sum(again.stats.cache_hits.values()), sum(again.stats.cache_misses.values())) == (1, 0)


def _twice(x: float) -> float:
    return x + x


# Whatever fails costs time and one warning.


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of a process that has given none about compiled code yet."""
    monkeypatch.setattr(compiling, "_said", set())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


def test_compiled_code_that_cannot_be_kept_is_compiled_by_each_process(
    monkeypatch: pytest.MonkeyPatch, said: list[warnings.WarningMessage]
) -> None:
    def nowhere(self: object, function: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(caching.FunctionCache, "__init__", nowhere)
    for _ in range(2):
        assert compiled("float64(float64)")(_twice)(2.0) == 4.0
    assert [str(each.message).count("NUMBA_CACHE_DIR") for each in said] == [1]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (caching, "FunctionCache"),
        (serialize, "dumps"),
        (serialize, "loads"),
        (registry.CPUDispatcher, "_cache"),
        (caching.FunctionCache, "_cache_file"),
    ],
)
def test_a_renamed_part_of_numba_costs_the_cache_alone(
    monkeypatch: pytest.MonkeyPatch,
    said: list[warnings.WarningMessage],
    tmp_path: Path,
    owner: Any,
    name: str,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(sys.modules, "realm.compiled_cache")
    if owner is registry.CPUDispatcher or owner is caching.FunctionCache:
        _renamed(monkeypatch, owner, name)
    else:
        monkeypatch.delattr(owner, name)
    loop: Any = compiled("float64(float64)")(_twice)
    assert loop(2.0) == 4.0
    assert loop.nopython_signatures  # compiled nevertheless
    assert len(said) == 1
    assert not list(tmp_path.rglob("*.nbc"))


def _renamed(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Instances of this class keep the attribute under another name."""
    before = owner.__init__

    def init(self: Any, *given: Any, **options: Any) -> None:
        before(self, *given, **options)
        setattr(self, f"{name}_renamed", self.__dict__.pop(name))

    monkeypatch.setattr(owner, "__init__", init)
    if name == "_cache":  # numba itself asks by the new name
        monkeypatch.setattr(owner, "compile", lambda self, sig: _compile_renamed(self, sig))


def _compile_renamed(dispatcher: Any, signature: str) -> Any:
    dispatcher._cache = dispatcher._cache_renamed
    try:
        return registry.dispatcher.Dispatcher.compile(dispatcher, signature)
    finally:
        del dispatcher._cache


@pytest.mark.parametrize("damage", ["load", "save", "rebuild"])
def test_a_cache_that_fails_later_is_passed_by(
    monkeypatch: pytest.MonkeyPatch,
    said: list[warnings.WarningMessage],
    tmp_path: Path,
    damage: str,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled("float64(float64)")(_twice)(2.0) == 4.0

    def fails(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    if damage == "rebuild":
        monkeypatch.setattr(caching.CompileResultCacheImpl, "rebuild", fails)
    else:
        monkeypatch.setattr(KeptCode, damage, fails)
    signature = "float32(float32)" if damage == "save" else "float64(float64)"
    assert compiled(signature)(_twice)(2.0) == 4.0
    assert len(said) == 1


def test_a_broken_file_of_the_cache_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, said: list[warnings.WarningMessage], tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled("float64(float64)")(_twice)(2.0) == 4.0
    (path,) = tmp_path.rglob("*.nbc")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    hits = []
    for _ in range(2):
        again: Any = compiled("float64(float64)")(_twice)
        assert again(2.0) == 4.0
        hits.append(sum(again.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert not said


def _does_not_compile(x: float) -> float:
    return {}[x].no_such_thing  # type: ignore[attr-defined, no-any-return]


def test_what_does_not_compile_runs_plain(said: list[warnings.WarningMessage]) -> None:
    loop = compiled("float64(float64)", or_plain=True)(_does_not_compile)
    assert loop is _does_not_compile
    assert compiled("float64(float64)", or_plain=True)(_does_not_compile) is loop
    assert len(said) == 1
    with pytest.raises(Exception, match="typ"):
        compiled("float64(float64)")(_does_not_compile)


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    "module", ["realm.signal.compiled", "realm.streaming.fused", "realm.streaming.tally"]
)
def test_a_module_of_loops_that_fails_is_none(
    monkeypatch: pytest.MonkeyPatch, said: list[warnings.WarningMessage], module: str
) -> None:
    def fails(self: object, signature: object) -> None:
        raise numba.core.errors.TypingError("numba has changed its mind\nand much more")

    monkeypatch.setattr(registry.CPUDispatcher, "compile", fails)
    name = {"realm.signal.compiled": "compiled_step", "realm.streaming.fused": "FusedStudent"}
    for _ in range(2):
        assert load_compiled(module, name.get(module, "compiled_count")) is None
    (one,) = said
    assert "TypingError: numba has changed its mind)" in str(one.message)


def test_python_calls_a_jitable_function_as_it_is_and_compiled_code_compiles_it() -> None:
    assert jitable(_twice) is _twice

    @compiled("float64(float64)")
    def four_times(x: float) -> float:
        return _twice(_twice(x))

    assert four_times(1.5) == 6.0
