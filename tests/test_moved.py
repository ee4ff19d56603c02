"""Old import paths work for one release, with a warning, and give the very same objects."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from realm.moved import MOVED, new_name


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each test imports the old names anew."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if new_name(name):
            del sys.modules[name]


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_module_and_warns(old: str) -> None:
    new = importlib.import_module(MOVED[old])
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {MOVED[old]};"):
        assert importlib.import_module(old) is new
    assert new.__spec__ is not None
    assert new.__spec__.name == MOVED[old]


def test_what_lies_in_a_moved_package_is_not_loaded_twice() -> None:
    new = importlib.import_module("realm.recordings.formats.edf")
    with pytest.warns(DeprecationWarning, match="has moved"):
        old = importlib.import_module("realm.data.formats.edf")
    assert old is new


def test_a_name_that_never_was_is_still_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"realm\.data\.nothing"):
        importlib.import_module("realm.data.nothing")
