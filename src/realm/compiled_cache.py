"""Compiled functions on disk, safe where several processes compile at once.

numba numbers the files of a function in the order of compilation. Two processes that compile it for
different types at the same moment can take the same number; whoever reads that file later runs
machine code made for other types, which is wrong numbers or a crash. And numba compiles anew when
the file of a function changes, not when a function or constant that it uses does.

Here a file is named after what it holds and says so inside: the types, the processor, numba's
version and the content of every source that the function depends on. A file that is damaged or says
anything else counts as absent and is made anew.

Compiled code is kept beside the sources, or in the user's cache folder where that cannot be
written, or in NUMBA_CACHE_DIR. numba has no public way to do this: `PRIVATE` lists what is used of
its insides, and `compiling.py` compiles without a cache where one of them is gone.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps, loads

from realm.systems import replace

PACKAGE = Path(__file__).parent
# What is used of numba that it does not promise to keep; `tests/test_compiling.py` checks each.
PRIVATE = (
    "numba.core.caching.FunctionCache",  # its load_overload, save_overload and cache_path
    "numba.core.caching.FunctionCache()._cache_file",  # which has load, save and flush
    "numba.core.serialize.dumps",
    "numba.core.serialize.loads",
    "numba.core.registry.CPUDispatcher()._cache",
)
DIGEST_BYTES = 32


def keep(
    dispatcher: Any, function: Callable[..., Any], failed: Callable[[Exception], None]
) -> None:
    """Keep on disk what a dispatcher of numba compiles, and take from there what was compiled.

    `failed` is told of what cannot be read or written later; the function is then compiled.

    Raises:
        Exception: of any kind; there is no folder that can be written, or numba has changed.
    """
    _present(dispatcher, "_cache")
    dispatcher._cache = _Cache(function, failed)


@cache
def sources_sha256(source: Path) -> str:
    """Digest of a file and of all modules of this package that it imports, directly or not.

    Compiled code of this file can depend on nothing else: functions and constants are imported at
    the top of a file.
    """
    found, waiting = set[Path](), {source}
    while waiting:
        found |= waiting
        waiting = {imported for file in waiting for imported in _imported(file)} - found
    digest = hashlib.sha256()
    for file in sorted(found):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    """Modules of this package that a file imports at its top."""
    names = set[str]()
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    files = (PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names)
    return tuple(path for path in files if PACKAGE in path.parents and path.is_file())


class _Cache(FunctionCache):
    """numba's, with other files; a failure means that the function is compiled anew."""

    def __init__(self, function: Callable[..., Any], failed: Callable[[Exception], None]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._failed = failed
        _present(self, "_cache_file")
        code = function.__code__
        version = "".join(map(str, sys.version_info[:2])) + getattr(sys, "abiflags", "")
        base = f"{Path(code.co_filename).stem}.{code.co_name}-{code.co_firstlineno}.py{version}"
        self._cache_file: Any = KeptCode(
            self.cache_path, base, sources_sha256(Path(code.co_filename))
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled for these types, None if it has to be compiled."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:
            self._failed(error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for these types."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:
            self._failed(error)


class KeptCode:
    """The compiled code of one function, a file for each combination of types.

    A file is the SHA-256 of all that follows, a line that says what it holds, and what numba
    itself writes into its own files.

    Args:
        folder: where the files lie.
        base: what their names begin with.
        stamp: of the sources; code with another one is not taken.
    """

    def __init__(self, folder: str, base: str, stamp: str) -> None:
        self._folder, self._base, self._stamp = Path(folder), base, stamp

    def save(self, key: Any, data: Any) -> None:
        """Keep compiled code; in place of what was kept for this key before."""
        content = self._says(key) + dumps(data)  # type: ignore[no-untyped-call]
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(".part", f"{self._base}.", self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            replace(part, self._path(key))
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def load(self, key: Any) -> Any:
        """The compiled code for this key, None if there is none that is whole and current."""
        try:
            kept = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        says = self._says(key)
        digest, content = kept[:DIGEST_BYTES], kept[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest or not content.startswith(says):
            return None
        return loads(content[len(says) :])

    def flush(self) -> None:
        """Forget all that is kept for this function."""
        for path in self._folder.glob(f"{self._base}.*.nbc"):
            path.unlink(missing_ok=True)

    def _says(self, key: Any) -> bytes:
        return f"{numba.__version__} {self._stamp} {key!r}\n".encode()

    def _path(self, key: Any) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc"


def _present(owner: object, name: str) -> None:
    """Refuse to set an attribute that numba no longer reads."""
    if not hasattr(owner, name):
        raise AttributeError(f"numba {numba.__version__}: expected {type(owner).__name__}.{name}")
