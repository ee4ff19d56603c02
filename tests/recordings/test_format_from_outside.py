"""A format of another package: one module, one entry point, and every command reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from realm import extensions
from realm.cli import app
from realm.data.config import DataConfig
from realm.data.prepare import prepare_all
from realm.recordings import find_recordings, identify, open_recording
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulatedSession

PACKAGE = '''
"""Recordings as numpy arrays: `a.lab` holds microvolts, `a.lab.hand` the hand, both at 500 Hz."""

from datetime import datetime
from functools import partial

import numpy as np

from realm.recordings.channels import finished
from realm.recordings.grid import at_rate
from realm.recordings.open import Format, has_suffix
from realm.recordings.recording import NamedBehavior, Recording, Signal, named_after_file

FORMAT = Format("our lab", has_suffix(".lab"), "lab_format:open_lab")


def open_lab(path, lfp_path=None):
    samples = np.load(path.open("rb"))
    hand = path.with_name(path.name + ".hand")
    n = samples.shape[1]
    names = tuple(f"wire {i}" for i in range(n))
    grid = at_rate(500.0, 0.0, len(samples))
    read = lambda first, stop: samples[first:stop] * 1e-6
    signal = Signal("samples", grid, names, ("M1",) * n, (False,) * n, 64, read)
    behavior = NamedBehavior({"hand": partial(read_hand, hand)})
    identity = named_after_file(path, datetime(2026, 1, 2))
    return Recording(path, identity, signal, (behavior,), lambda: None, (path, hand))


def read_hand(path):
    values = np.load(path.open("rb"))
    return finished(path, "hand", np.arange(len(values)) / 50, values, "m", ("x", "y"))
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as it lies in site-packages."""
    folder = tmp_path / "site"
    info = folder / "lab_format-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "lab_format.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-format\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[realm.formats]\nlab = lab_format:FORMAT\n")
    monkeypatch.syspath_prepend(folder)
    extensions.found.cache_clear()
    yield
    extensions.found.cache_clear()


@pytest.fixture
def path(session: SimulatedSession, tmp_path: Path) -> Path:
    path = tmp_path / "data" / "day1.lab"
    path.parent.mkdir()
    for name, array in (("day1.lab", session.lfp_uv), ("day1.lab.hand", session.behavior.values)):
        with (path.parent / name).open("wb") as stream:
            np.save(stream, array)
    return path


@pytest.mark.usefixtures("lab")
def test_it_is_found_opened_and_prepared(
    path: Path, session: SimulatedSession, tmp_path: Path
) -> None:
    assert find_recordings(path.parent) == [path]
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read(10, 20), session.lfp_uv[10:20] * 1e-6)
        assert recording.identity == identify(path)
        assert recording.started_at is not None
    (path.parent / "recording.toml").write_text('subject = "m1"')
    assert identify(path).subject == "m1"
    data = DataConfig(behavior="hand", target="velocity", window_s=1.0)
    (prepared,) = prepare_all([path], tmp_path / "out", SignalConfig(), data, workers=1, show=False)
    assert prepared.name == "m1_day1.h5"


@pytest.mark.usefixtures("lab")
def test_it_is_inspected_and_gets_a_recipe(path: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    done = CliRunner().invoke(app, ["inspect", str(path), "--recipe", str(recipe), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["format"], found["neural"]["channels"]) == ("our lab", 4)
    assert 'behavior = "hand"' in recipe.read_text()


@pytest.mark.usefixtures("lab")
def test_what_goes_wrong_in_it_names_the_file(path: Path) -> None:
    path.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"day1\.lab: expected readable our lab data"):
        open_recording(path)


def test_without_the_package_it_is_unknown(path: Path) -> None:
    with pytest.raises(ValueError, match=r"day1\.lab: expected a recording of a known kind"):
        open_recording(path)
