"""What all tests share: simulated recordings and a recipe that trains in seconds."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tiny_recipe import SMALL_RECIPE

# A busy machine makes examples slow, not wrong.
settings.register_profile("realm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("realm")

if os.name == "nt":  # they limit, fork or kill as only POSIX can; test_systems.py is for Windows
    collect_ignore = [
        "data/test_prepare_interrupted.py",
        "recordings/fuzz.py",
        "test_files.py",
        "test_run.py",
    ]

COMPILED = (
    "realm.signal.compiled",
    "realm.streaming.fused",
    "realm.streaming.tally",
    "realm.nn.compiled",
)


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a new process: no compiled code is loaded, and nothing was said about it."""
    from realm import compiling

    caches = [compiling.load_compiled]
    if "realm.nn.fusing" in sys.modules:
        caches.append(sys.modules["realm.nn.fusing"].tried)
    for name in [name for name in sys.modules if name.startswith(COMPILED)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(compiling, "_said", set())
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def foreign_package(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The folder of an installed package that adds a kind of feature."""
    from foreign_feature import install

    from realm import extensions

    folder = tmp_path_factory.mktemp("outside")
    install(folder)
    monkeypatch.syspath_prepend(folder)
    extensions.found.cache_clear()
    yield folder
    extensions.found.cache_clear()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three simulated sessions of two subjects with different channel counts, as NWB."""
    from realm.simulation.simulate import SimulationConfig, simulate_session
    from realm.simulation.write import write_session

    folder = tmp_path_factory.mktemp("recordings")
    many = SimulationConfig(channels=6, duration_s=70.0, seed=3)
    few = dataclasses.replace(many, channels=4)
    sessions = [simulate_session(many, 0, day) for day in (0, 1)] + [simulate_session(few, 1)]
    return [write_session(folder / f"{s.session_id}.nwb", s) for s in sessions]


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in seconds."""
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(SMALL_RECIPE)
    return path
