"""The one door to compiled code: how loops are compiled by numba, and what happens where it cannot.

    @compiled("void(float64[::1], float64)")     # in a module of loops
    def scale(x, factor): ...

    fast = load_compiled("realm.signal.compiled", "compiled_step")   # None: use the plain code

Every loop is compiled the same way: without the interpreter's lock, dividing by zero as IEEE 754
says, and kept on disk for the next process (`compiled_cache.py`). A loop with a signature is
compiled, or read from disk, when its module is imported, never while a stream runs.

Compiled code is optional. Whatever goes wrong with it (numba is absent or cannot be imported,
NUMBA_DISABLE_JIT is set, a loop does not compile, there is no folder to keep it in) costs time and
gives one warning. It never stops a program and never changes a result beyond rounding.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be taken in any order, but NaN and infinity keep their meaning: they are looked for.
ANY_ORDER = {"reassoc", "contract", "nsz", "arcp"}


def compiled(
    *signatures: str, any_order: bool = False, inline: bool = False, or_plain: bool = False
) -> Callable[[F], F]:
    """Compile a function with numba.

    Args:
        signatures: types to compile for at once; without any, at the first call with each.
        any_order: whether sums may be taken in any order, which is faster and rounds differently.
        inline: put the function into each of its callers, where it costs no call.
        or_plain: where numba cannot be used, give the function as it is and warn. Without it the
            error is raised and `load_compiled` deals with it.

    Returns:
        A decorator.
    """

    def decorate(function: F) -> F:
        try:
            return _dispatcher(function, signatures, any_order, inline)
        except Exception as error:
            if not or_plain:
                raise
            runs_plain(error)
            return function

    return decorate


def jitable(function: F) -> F:
    """Let compiled code call a function, which stays plain Python for everybody else.

    It is compiled with the options of its caller.
    """
    try:
        from numba.extending import register_jitable

        register_jitable(function)
    except Exception:
        return function  # `compiled` meets the same failure in the caller, and says so
    return function


@cache
def load_compiled(module: str, name: str) -> Any:
    """An attribute of a module of compiled loops, None where it cannot be had.

    A module of this package is compiled while it is imported. Whatever fails then is told in one
    warning, and the caller runs its plain code.
    """
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        runs_plain(error)
        return None


def behaved(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is C-contiguous, aligned and writable, else a copy that is.

    Loops with a signature take no other arrays.
    """
    return array if array.flags.carray else array.copy()


def runs_plain(error: Exception) -> None:
    """Warn, once in a process, that plain code runs in place of compiled code, and why."""
    _warn_once(
        "plain",
        f"realm: numba cannot be used ({_told(error)}). Plain numpy and torch run instead: the "
        "same results, several times slower. Install numba, unset NUMBA_DISABLE_JIT, or set "
        "NUMBA_CACHE_DIR to a folder that can be written",
    )


def _compiles_each_time(error: Exception) -> None:
    """Warn, once in a process, that compiled code is not kept, and why."""
    _warn_once(
        "unkept",
        f"realm: compiled code cannot be kept on disk ({_told(error)}). Each program compiles it "
        "again, which takes up to a minute. Set NUMBA_CACHE_DIR to a folder that can be written, "
        "or install another version of numba",
    )


_said: set[str] = set()


def _warn_once(kind: str, text: str) -> None:
    if kind not in _said:
        _said.add(kind)
        warnings.warn(text, stacklevel=4)


def _told(error: Exception) -> str:
    """The first line of an error: those of numba are long, and in colours."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _dispatcher(function: F, signatures: tuple[str, ...], any_order: bool, inline: bool) -> F:
    import numba

    if getattr(numba.config, "DISABLE_JIT", False):
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    if any_order:
        options["fastmath"] = ANY_ORDER
    if inline:
        options["inline"] = "always"
    dispatcher: Any = numba.njit(**options)(function)
    try:
        from realm.compiled_cache import keep

        keep(dispatcher, function, _compiles_each_time)
    except Exception as error:
        _compiles_each_time(error)
    for signature in signatures:
        dispatcher.compile(signature)
    if signatures:
        dispatcher.disable_compile()
    result: F = dispatcher
    return result
