"""What Windows and macOS do differently, emulated here: nothing of it was run on those systems."""

from __future__ import annotations

import ast
import errno
import io
import os
import subprocess
import sys
import threading
import time
import tomllib
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import realm
from realm import systems
from realm.files import append_line, read_json, write_json, write_text
from realm.live.outputs import OutputInfo, Outputs
from realm.live.sinks.csv import CSVLog
from realm.locks import Lock

PACKAGE = Path(realm.__file__).parent
# Only some systems have these; `realm.systems` and the certificate's look at Linux's /proc may ask.
ONE_SYSTEM_ONLY = {
    "os": {
        "fork",
        "forkpty",
        "pread",
        "pwrite",
        "getuid",
        "geteuid",
        "getpgid",
        "killpg",
        "setsid",
        "uname",
        "nice",
        "mkfifo",
        "chown",
        "wait",
        "waitpid",
        "statvfs",
        "O_NOFOLLOW",
        "O_NONBLOCK",
        "O_CLOEXEC",
        "O_DIRECTORY",
        "O_BINARY",
        "WNOHANG",
    },
    "signal": {
        "SIGKILL",
        "SIGHUP",
        "SIGUSR1",
        "SIGALRM",
        "SIGBREAK",
        "alarm",
        "setitimer",
        "pause",
    },
    "sys": {"abiflags", "getwindowsversion"},
}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "msvcrt", "winreg"}


def calls_of_one_system(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ONE_SYSTEM_ONLY.get(node.value.id, set()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.add(str(node.module))
    return found


def test_the_package_uses_nothing_that_only_one_system_has() -> None:
    assert calls_of_one_system(ast.parse("import fcntl\nos.fork()")) == {"fcntl", "os.fork"}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "systems.py":
            assert not calls_of_one_system(ast.parse(path.read_text("utf-8"))), path


def text_without_encoding(tree: ast.AST) -> list[int]:
    """Lines that read or write text in whatever code page the system has."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        plain_open = isinstance(node.func, ast.Name) and node.func.id == "open"
        first = node.args[int(plain_open) :][:1]
        mode = first[0].value if first and isinstance(first[0], ast.Constant) else ""
        if (
            (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or ((name == "open" or plain_open) and mode in ("r", "w", "a", "x", "r+", "w+"))
        ):
            found.append(node.lineno)
    return found


def test_text_is_read_and_written_in_one_encoding_everywhere() -> None:
    bad = "p.read_text()\np.write_text(x)\np.open('a')\nopen(p, 'w')\n"
    assert len(text_without_encoding(ast.parse(bad))) == 4
    assert not text_without_encoding(ast.parse("p.open('rb')\nwrite_text(p, x)\nsource.open()"))
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name != "certify":  # reads /proc, which is ASCII
            assert not text_without_encoding(ast.parse(path.read_text("utf-8"))), path


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As far as it can be had here: no POSIX calls or flags, no fcntl, folders cannot be opened."""
    for name in ("pread", "pwrite", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "fork"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(systems, "WINDOWS", True)
    really = os.open

    def opened(path: Any, flags: int, mode: int = 0o777, **beside: Any) -> int:
        if not beside and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path, flags, mode, **beside)

    monkeypatch.setattr(os, "open", opened)
    held: dict[tuple[int, int], int] = {}

    def locking(handle: int, how: int, size: int) -> None:
        found = os.fstat(handle)
        holder = held.setdefault((found.st_dev, found.st_ino), handle)
        try:
            closed = holder != handle and os.fstat(holder).st_ino != found.st_ino
        except OSError:
            closed = True
        if closed:
            held[found.st_dev, found.st_ino] = handle
        elif holder != handle:
            raise OSError(errno.EACCES, "Permission denied")

    for absent in ("fcntl", "resource"):
        monkeypatch.setitem(sys.modules, absent, None)
    msvcrt = types.ModuleType("msvcrt")
    msvcrt.LK_NBLCK, msvcrt.locking = 2, locking  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    return monkeypatch


def test_files_are_whole_where_folders_cannot_be_opened(windows: Any, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"unit": "µV"})
    write_json(tmp_path / "a.json", {"unit": "mV"})
    assert read_json(tmp_path / "a.json") == {"unit": "mV"}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_somebody_reads_is_replaced_when_he_is_done(
    windows: Any, tmp_path: Path
) -> None:
    really, tries = os.replace, []

    def replace(source: Any, target: Any) -> None:
        tries.append(target)
        if len(tries) < 4:
            raise PermissionError(errno.EACCES, "Access is denied")
        really(source, target)

    windows.setattr(os, "replace", replace)
    write_text(tmp_path / "status.json", "{}")
    assert len(tries) == 4
    assert (tmp_path / "status.json").read_text() == "{}"
    windows.setattr(systems, "REPLACE_S", 0.0)
    tries[:] = []
    with pytest.raises(OSError, match="could not write"):
        write_text(tmp_path / "status.json", "[]")
    assert (tmp_path / "status.json").read_text() == "{}"


def test_locks_hold_without_flock(windows: Any, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "state"):
        with Lock(path), pytest.raises(ValueError, match="expected one process"):
            Lock(path)
        Lock(path).close()
    assert not list(tmp_path.iterdir())


def test_a_system_without_any_locks_goes_on(windows: Any, tmp_path: Path) -> None:
    windows.setitem(sys.modules, "msvcrt", None)
    with Lock(tmp_path / "state"), Lock(tmp_path / "other"):
        pass


def test_a_log_is_whole_lines_without_pwrite(windows: Any, tmp_path: Path) -> None:
    info = OutputInfo("rat-1", ("x",), "m/s", ("a",), 10.0, 0.0, "0" * 64)
    log, k = CSVLog(tmp_path / "log.csv"), np.arange(3)
    rows = Outputs(k, k / 100, k[:, None] / 7, *([0.0 * k] * 2), *([0 * k] * 2), *([k < 0] * 3), k)
    for _ in range(2):  # what a crash cut short is removed, the rest is kept
        log.open(info)
        log.write(rows, dict)
        log.close()
        with log.path.open("ab") as stream:
            stream.write(b"3,0.0")
    log.open(info)
    log.close()
    lines = log.path.read_bytes().split(b"\n")
    assert len(lines) == 8
    assert lines[-1] == b"3,0.0"
    assert {line.count(b",") for line in lines[1:7]} == {10}


def test_positions_without_pread_are_those_with_it(windows: Any, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    handle = systems.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        assert systems.write_at(handle, b"one\ntwo\n", 0) == 8
        assert systems.write_at(handle, b"TWO", 4) == 3
        assert systems.read_at(handle, 4, 4) == b"TWO\n"
        assert systems.read_at(handle, 3, 0) == b"one"
    finally:
        os.close(handle)
    assert path.read_bytes() == b"one\nTWO\n"


def test_a_link_is_refused_without_nofollow(windows: Any, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.close(systems.open_plain(tmp_path / "real"))
    with pytest.raises(OSError, match="symbolic links"):
        systems.open_plain(tmp_path / "link")


def test_cpu_time_of_children_is_nought_where_unknown(windows: Any) -> None:
    assert systems.children_cpu_s() == 0.0


def test_the_clock_of_windows_is_the_fine_one() -> None:
    assert systems.clock(True) is time.perf_counter
    assert systems.clock(False) is time.monotonic


def test_a_c_library_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from realm.certify import environment

    def none(name: str | None) -> Any:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")

    monkeypatch.setattr(environment.ctypes, "CDLL", none)
    environment.give_memory_back()


def test_names_are_linked_or_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from realm.recordings.formats.spelling import linked

    def refused(self: Path, target: Any) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    (tmp_path / "V.EEG").write_bytes(b"samples")
    for name in ("symlink_to", "hardlink_to"):
        monkeypatch.setattr(Path, name, refused)
        made = linked({"v.eeg": tmp_path / "V.EEG"})
        assert (made.folder / "v.eeg").read_bytes() == b"samples"
        made.close()
    assert (tmp_path / "V.EEG").exists()


def test_lines_end_alike_everywhere(tmp_path: Path) -> None:
    append_line(tmp_path / "metrics.jsonl", '{"unit": "µV"}')
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"unit": "\xc2\xb5V"}\n'


def test_a_recipe_with_the_line_ends_of_windows_is_the_same(tmp_path: Path) -> None:
    from realm.recipe import load_recipe

    text = (PACKAGE.parents[1] / "recipes" / "reach_sim.toml").read_text(encoding="utf-8")
    for name, content in (("unix", text), ("windows", text.replace("\n", "\r\n"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "reach_sim.toml").write_bytes(content.encode())
    assert load_recipe(tmp_path / "unix" / "reach_sim.toml") == load_recipe(
        tmp_path / "windows" / "reach_sim.toml"
    )


@pytest.mark.parametrize("code_page", ["cp1252", "cp437", "ascii"])
def test_a_console_of_another_code_page_shows_what_it_can(
    code_page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=code_page, errors="strict")
        monkeypatch.setattr(sys, name, stream)
    systems.show_any_text()
    print("R² 0.61 ± 0.02, β → 12 µV")
    sys.stdout.flush()
    shown = sys.stdout.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"0.61" in shown
    assert b"12" in shown


@pytest.mark.slow
def test_the_command_line_speaks_in_another_code_page() -> None:
    told = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "realm", "live", "--help"], env=told, capture_output=True, check=True
    )
    assert b"--source" in done.stdout


def test_workers_of_windows_ask_whether_their_parent_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    from realm import workers

    lives = threading.Event()
    lives.set()
    parent = types.SimpleNamespace(is_alive=lives.is_set)
    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(systems, "WINDOWS", True)
    asked = workers._parent_lives(os.getppid())
    assert asked()
    lives.clear()
    assert not asked()
    monkeypatch.setattr(systems, "WINDOWS", False)
    assert workers._parent_lives(os.getppid())()


def test_the_workflow_has_the_whole_matrix() -> None:
    yaml = pytest.importorskip("yaml")
    root = PACKAGE.parents[1]
    jobs = yaml.safe_load((root / ".github/workflows/tests.yml").read_text("utf-8"))["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    systems_ = {"ubuntu-latest", "windows-latest", "macos-latest"}
    assert set(matrix["system"]) == systems_ == set(jobs["bare"]["strategy"]["matrix"]["system"])
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    lowest = [each["system"] for each in matrix["include"] if each["dependencies"] == "lowest"]
    assert set(lowest) == systems_
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - {"all", "bench", "docs", "test", "dev"}
    assert set(jobs["bare"]["strategy"]["matrix"]["extra"]) == extras | {""}
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    named = {word for step in steps for word in step.split() if word.startswith(".ci/")}
    assert named == {".ci/lowest.py", ".ci/bare.py"}
    assert all((root / name).is_file() for name in named)
