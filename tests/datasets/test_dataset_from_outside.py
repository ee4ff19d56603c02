"""A dataset of another package: one module, one entry point, and the commands know it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realm import extensions
from realm.cli import app
from realm.datasets.registry import DATASETS, find_dataset

PACKAGE = """
from dataclasses import replace

from realm.datasets.registry import DATASETS

DATASET = replace(DATASETS["rodents"], name="lab-rats", title="rats of our lab")
WRONG = 7
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as it lies in site-packages."""
    info = tmp_path / "lab_rats-1.0.dist-info"
    info.mkdir()
    (tmp_path / "lab_rats.py").write_text(PACKAGE.replace("rodents", list(DATASETS)[-1]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-rats\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[realm.datasets]\nlab-rats = lab_rats:DATASET\nwrong = lab_rats:WRONG\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()


def test_it_is_found_by_its_name() -> None:
    assert find_dataset("lab-rats").title == "rats of our lab"


def test_what_is_no_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="wrong: expected the entry point"):
        find_dataset("wrong")


def test_the_list_names_it(tmp_path: Path) -> None:
    (tmp_path / "lab_rats-1.0.dist-info" / "entry_points.txt").write_text(
        "[realm.datasets]\nlab-rats = lab_rats:DATASET\n"
    )
    extensions.found.cache_clear()
    listed = CliRunner().invoke(app, ["dataset", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    names = [dataset["name"] for dataset in json.loads(listed.stdout)["datasets"]]
    assert names == [*DATASETS, "lab-rats"]
