"""How functions are compiled by numba and kept on disk, safe where several processes do it at once.

numba numbers the files of a function in the order of compilation. Two processes that compile it for
different types at the same moment can take the same number; whoever reads that file later runs
machine code made for other types, which is wrong numbers or a crash. And numba compiles anew when
the file of a function changes, not when a function or constant that it uses does.

Here a file is named after what it holds and says so inside: the types, the processor, numba's
version and the content of every source that compiled code of this package depends on. A file that
is damaged or says anything else counts as absent and is made anew.

Importing this module needs numba. Compiled code is kept beside the sources, or in the user's cache
folder where that cannot be written, or in NUMBA_CACHE_DIR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.serialize import dumps, loads

F = TypeVar("F", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent
# Where compiled functions lie, and the constants that they use.
SOURCES = (
    "compiling.py",
    "signal",
    "streaming",
    "nn/compiled",
    "nn/ssd_blocked.py",
    "live/placing.py",
)
DIGEST_BYTES = 32


def compiled(*signatures: str, **options: Any) -> Callable[[F], F]:
    """Compile a function without the interpreter's lock, dividing by zero as IEEE 754 says.

    Args:
        signatures: types to compile for at once; without any, at the first call with each.
        **options: further options of `numba.njit`, for example `fastmath`.

    Returns:
        A decorator.

    Raises:
        RuntimeError: there is no folder to keep compiled code in.
    """

    def decorate(function: F) -> F:
        dispatcher: Any = numba.njit(error_model="numpy", nogil=True, **options)(function)
        dispatcher._cache = _Cache(function)
        for signature in signatures:
            dispatcher.compile(signature)
        if signatures:
            dispatcher.disable_compile()
        result: F = dispatcher
        return result

    return decorate


@cache
def sources_sha256(package: Path = PACKAGE) -> str:
    """Digest of every source that compiled code depends on."""
    digest = hashlib.sha256()
    for part in SOURCES:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(package)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


class _Cache(FunctionCache):
    """numba's, with other files."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = KeptCode(self._cache_path, self._impl.filename_base, sources_sha256())


class KeptCode(IndexDataCacheFile):
    """The compiled code of one function, a file for each combination of types.

    A file is the SHA-256 of all that follows, a line that says what it holds, and what numba
    itself writes into its own files.

    Args:
        folder: where the files lie.
        base: what their names begin with.
        stamp: of the sources; code with another one is not taken.
    """

    def __init__(self, folder: str, base: str, stamp: str) -> None:
        super().__init__(folder, base, stamp)  # type: ignore[no-untyped-call]
        self._folder, self._base = Path(folder), base

    def save(self, key: Any, data: Any) -> None:
        """Keep compiled code; in place of what was kept for this key before."""
        content = self._says(key) + dumps(data)  # type: ignore[no-untyped-call]
        with self._open_for_write(self._path(key)) as file:
            file.write(hashlib.sha256(content).digest() + content)

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
        return f"{self._version} {self._source_stamp} {key!r}\n".encode()

    def _path(self, key: Any) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc"
