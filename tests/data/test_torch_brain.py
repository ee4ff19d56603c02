"""Prepared files and windows are torch_brain's, though only these tests need torch_brain."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realm.data.sessions import PreparedSession
from realm.data.windows import shuffled_windows

SPANS = {"day0": (0, 1000), "day1": (57, 400), "day2": (5, 105)}


def content(path: Path) -> dict[str, list[object]]:
    """Attributes, types and numbers of everything in a file."""
    found: dict[str, list[object]] = {}

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        found[name] = [
            (key, str(node.attrs.get_id(key).dtype), repr(node.attrs[key]))
            for key in sorted(node.attrs)
        ]
        if isinstance(node, h5py.Dataset):
            found[name] += [node.dtype, node.shape, node[()].tobytes()]

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def test_torch_brain_opens_and_slices_a_prepared_file(prepared_dir: Path) -> None:
    data_module = pytest.importorskip("torch_brain.data")
    datasets = pytest.importorskip("torch_brain.datasets")
    session = PreparedSession.load(prepared_dir / "simA_day0.h5")
    with data_module.Data.load(session.path) as data:
        assert data.session.id == "simA_day0"
        assert data.subject.id == "simA"
        assert list(data.channels.name) == list(session.channel_names)
        assert list(data.bands.name) == list(session.band_names)
        assert (data.splits.train.start[0], data.splits.train.end[0]) == (0.0, 42.0)
        part = data.slice(10.0, 12.0)
        assert part.features.values.shape == (200, 5, len(session.band_names))
        values, mask = session.behavior(1000, 1200)
        np.testing.assert_array_equal(part.behavior.values, values)
        np.testing.assert_array_equal(part.behavior.mask, mask)
    dataset = datasets.Dataset(prepared_dir)
    assert dataset.recording_ids == ["simA_day0", "simA_day1", "simB_day0"]
    assert len(dataset[datasets.DatasetIndex("simB_day0", 3.0, 4.0)].features.values) == 100


def test_torch_brain_writes_the_same_file(prepared_dir: Path, tmp_path: Path) -> None:
    data_module = pytest.importorskip("torch_brain.data")
    path = prepared_dir / "simA_day0.h5"
    data_module.Data.load(path, lazy=False).save(tmp_path / "again.h5")
    assert content(tmp_path / "again.h5") == content(path)
    again, session = PreparedSession.load(tmp_path / "again.h5"), PreparedSession.load(path)
    np.testing.assert_array_equal(again.features(0, 6000), session.features(0, 6000))
    assert again.splits == session.splits


@given(
    spans=st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 3000)), min_size=1, max_size=4),
    window=st.integers(1, 700),
    seed=st.integers(0, 2**50),
)
def test_windows_are_those_of_torch_brain(
    spans: list[tuple[int, int]], window: int, seed: int
) -> None:
    interval = pytest.importorskip("torch_brain.data").Interval
    samplers = pytest.importorskip("torch_brain.samplers")
    borders = {f"day{k}": (start, start + window + more) for k, (start, more) in enumerate(spans)}
    sampler = samplers.RandomFixedWindowSampler(
        sampling_intervals={name: interval(*map(float, span)) for name, span in borders.items()},
        window_length=float(window),
        generator=torch.Generator().manual_seed(seed),
    )
    theirs = [(drawn.recording_id, int(drawn.start)) for drawn in sampler]
    assert shuffled_windows(borders, window, torch.Generator().manual_seed(seed)) == theirs


def test_windows_stay_what_they_are() -> None:
    """Written down from torch_brain 0.2.1, so that no version may change a training unseen."""
    drawn = shuffled_windows(SPANS, 100, torch.Generator().manual_seed(7))
    starts = {name: [start for found, start in drawn if found == name] for name in SPANS}
    assert starts == {
        "day0": [853, 453, 553, 353, 0, 753, 253, 153, 53, 653],
        "day1": [76, 276, 176],
        "day2": [5],
    }
    assert "".join(name[-1] for name, _ in drawn) == "00002001011000"
