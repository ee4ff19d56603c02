"""What is seen of a recording does not depend on its pauses; an angle that wraps is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from realm.inspection.content import wraps_at
from realm.inspection.inspection import inspect_recording
from realm.recordings.recording import TimeSeries

LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"
Spoiled = Callable[[Callable[[h5py.File], None]], Path]


@pytest.mark.parametrize("part", [25, 100, 4000])
def test_many_short_parts_look_like_the_whole(
    part: int, clean_path: Path, spoiled: Spoiled
) -> None:
    def change(file: h5py.File) -> None:
        series = file[LFP]
        n = len(series["data"])
        del series["starting_time"]
        series["timestamps"] = np.arange(n) / 250 + np.arange(n) // part * 0.02

    whole, parts = (inspect_recording(p).samples for p in (clean_path, spoiled(change)))
    assert whole is not None
    assert parts is not None
    assert parts.seen == 1
    np.testing.assert_allclose(parts.scale_v, whole.scale_v, rtol=0.01)


TIMES = np.arange(2000) / 50


def series(values: np.ndarray, unit: str) -> TimeSeries:
    return TimeSeries(TIMES, values.reshape(len(TIMES), -1), unit, ("x",))


@pytest.mark.parametrize("unit", ["radians", "rad", "arbitrary"])
@pytest.mark.parametrize("low", [0.0, -np.pi])
def test_radians_that_wrap(unit: str, low: float) -> None:
    angle = (TIMES * 1.1 + low) % (2 * np.pi) + low
    assert wraps_at(series(angle, unit)) == pytest.approx(2 * np.pi)
    angle[300:320] = np.nan
    assert wraps_at(series(angle, unit))


def test_degrees_that_wrap() -> None:
    assert wraps_at(series(-TIMES * 47 % 360, "deg")) == 360


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (TIMES * 1.1, "rad"),  # unwrapped
        (3.1 * np.sin(TIMES), "rad"),  # all of a turn, without a jump
        (TIMES * 1.1 % (2 * np.pi), "cm"),  # trials that begin again
        (np.random.default_rng(0).uniform(0, 6.28, 2000), "rad"),  # jumps everywhere
        (np.full(2000, np.nan), "rad"),
    ],
)
def test_what_does_not_wrap(values: np.ndarray, unit: str) -> None:
    assert wraps_at(series(values, unit)) == 0


def test_a_wrapped_heading_is_said_to_be_one(spoiled: Spoiled) -> None:
    def change(file: h5py.File) -> None:
        n = len(file[f"{HAND}/data"])
        del file[f"{HAND}/data"]
        data = file.create_dataset(f"{HAND}/data", data=np.arange(n) / 50 * 1.1 % (2 * np.pi))
        data.attrs["unit"] = "radians"

    found = inspect_recording(spoiled(change))
    assert any("wraps at 6.283" in note and "cosine" in note for note in found.notes)
