"""Which code runs the stages of a chain: numpy and scipy, or loops compiled by numba.

The plain `step` of each stage is the definition. The compiled one does the same arithmetic in the
same order for all channels of a sample before it goes to the next, which is many times faster on
short chunks. States are those of the plain stages: a stream may go on with the other engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from realm.signal.stage import Stage

Engine = Literal["auto", "numba", "numpy"]
Step = Callable[[Any, Any], tuple[Any, Any]]


class Steps(NamedTuple):
    """The steps of a chain's stages, in their order, and what computes them."""

    engine: Literal["numba", "numpy"]
    of_stages: tuple[Step, ...]


def checked_engine(engine: Engine) -> Engine:
    """An engine is one of the three."""
    if engine not in get_args(Engine):
        raise ValueError(
            f"engine: expected {', '.join(map(repr, get_args(Engine)))}, got {engine!r}; "
            "choose one of them"
        )
    return engine


def choose_steps(stages: tuple[Stage, ...], engine: Engine) -> Steps:
    """The steps that run these stages, with the coefficients that the filters have now.

    "auto" takes numba and falls back to numpy, with a warning, where numba cannot be used.

    Raises:
        ValueError: numba was asked for and cannot be used.
    """
    plain = Steps("numpy", tuple(stage.step for stage in stages))
    if engine == "numpy":
        return plain
    try:
        from realm.signal.compiled import compiled_step
    except (ImportError, RuntimeError) as error:  # absent, or nowhere to keep compiled code
        without_numba(engine, "the signal chain runs with numpy and scipy", error)
        return plain
    return Steps("numba", tuple(compiled_step(stage) for stage in stages))


def without_numba(engine: Engine, instead: str, error: Exception) -> None:
    """Warn of what is done instead, because of `error`; refuse where numba was asked for.

    Raises:
        ValueError: `engine` is "numba".
    """
    if engine == "numba":
        raise ValueError(
            f"engine 'numba': expected numba with a cache folder it can write, but {error}; "
            "install numba, set NUMBA_CACHE_DIR, or use engine 'numpy'"
        ) from error
    warnings.warn(
        f"realm: numba cannot be used ({error}); {instead}, which gives the same results several "
        "times slower. Install numba or set NUMBA_CACHE_DIR",
        stacklevel=3,
    )
