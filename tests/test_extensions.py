"""Entry points of other packages: found by name, loaded when asked for, never silently replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from realm import extensions


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()


def write_package(folder: Path, name: str, entry_points: str, code: str = "THING = 7\n") -> None:
    """A package as it lies in site-packages."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_an_entry_point_is_found_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path, "outsider_one", "[realm.sinks]\nrobot = outsider_one:THING\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert extensions.names("sinks", ["csv"]) == ("csv", "robot")
    assert extensions.load("sinks", "robot") == 7


def test_one_name_from_two_packages_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("outsider_two", "outsider_three"):
        write_package(tmp_path, name, f"[realm.sinks]\nrobot = {name}:THING\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"robot.*outsider_(two|three).*outsider_(two|three)"):
        extensions.names("sinks", [])


def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(
        tmp_path, "outsider_four", "[realm.sinks]\nbroken = outsider_four:THING\n", "import gone\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"broken.*outsider_four.*gone"):
        extensions.load("sinks", "broken")
