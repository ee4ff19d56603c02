from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from realm.data import windows as windows_module
from realm.data.sessions import PreparedSet
from realm.data.windows import Windows, WindowSource

Source = WindowSource


def source(prepared: PreparedSet, **changes: object) -> WindowSource:
    settings: dict[str, object] = {"window_bins": 150, "batch_size": 8, "seed": 3}
    return WindowSource(prepared, **{**settings, **changes})  # type: ignore[arg-type]


def same(one: list[Windows], other: list[Windows]) -> bool:
    return len(one) == len(other) and all(
        a.session_id == b.session_id
        and all(torch.equal(x, y) for x, y in zip(a[1:], b[1:], strict=True))
        for a, b in zip(one, other, strict=True)
    )


def test_shapes_and_grouping(prepared: PreparedSet) -> None:
    groups = source(prepared).batch(0)
    index = sorted(i for group in groups for i in group.index.tolist())
    assert index == list(range(8))
    for group in groups:
        session = prepared[group.session_id]
        n = len(group.index)
        bands, channels = len(session.band_names), len(session.channel_names)
        assert group.features.shape == (n, 150, channels, bands)
        assert group.features.dtype == group.behavior.dtype == torch.float32
        assert group.behavior.shape == (n, 150, 2)
        assert group.behavior_mask.shape == (n, 150)
        assert group.behavior_mask.dtype == torch.bool
        assert group.index.dtype == torch.int64
    assert len({group.session_id for group in groups}) == len(groups)


def test_windows_are_stretches_of_the_training_split(prepared: PreparedSet) -> None:
    drawn = source(prepared)
    train = {s.session_id: s.features(*s.splits["train"]) for s in prepared}
    labels = {s.session_id: s.behavior(*s.splits["train"]) for s in prepared}
    for step in range(8):
        for group in drawn.batch(step):
            whole = train[group.session_id]
            values, mask = labels[group.session_id]
            for row in range(len(group.index)):
                window = group.features[row].numpy()
                starts = np.flatnonzero((whole[:, 0] == window[0, 0]).all(axis=1))
                places = [s for s in starts if np.array_equal(whole[s : s + 150], window)]
                assert len(places) == 1
                span = slice(places[0], places[0] + 150)
                np.testing.assert_array_equal(values[span], group.behavior[row])
                np.testing.assert_array_equal(mask[span], group.behavior_mask[row])


def test_the_same_batches_after_a_restart_and_in_any_order(prepared: PreparedSet) -> None:
    first = source(prepared)
    batches = [first.batch(step) for step in range(30)]
    again = source(prepared)
    for step in (29, 3, 17, 0):
        assert same(again.batch(step), batches[step])
    assert not same(batches[0], source(prepared, seed=4).batch(0))


@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_share_one_global_batch(prepared: PreparedSet, world: int) -> None:
    drawn = source(prepared)
    whole = {
        i: (group.session_id, group.features[row])
        for group in drawn.batch(5)
        for row, i in enumerate(group.index.tolist())
    }
    seen: list[int] = []
    for rank in range(world):
        for group in drawn.batch(5, rank, world):
            for row, i in enumerate(group.index.tolist()):
                seen.append(i)
                assert whole[i][0] == group.session_id
                assert torch.equal(whole[i][1], group.features[row])
    assert sorted(seen) == list(range(8))
    with pytest.raises(ValueError, match="fewer processes"):
        drawn.batch(0, 0, 9)


def test_an_epoch_visits_every_session_by_its_length(prepared: PreparedSet) -> None:
    drawn = source(prepared, batch_size=1)
    assert drawn.windows_per_epoch == 28 + 28 + 42
    for epoch in range(2):
        steps = range(epoch * 98, (epoch + 1) * 98)
        count = Counter(drawn.batch(step)[0].session_id for step in steps)
        assert count == {"simA_day0": 28, "simA_day1": 28, "simB_day0": 42}


def test_a_batch_larger_than_an_epoch(prepared: PreparedSet) -> None:
    groups = source(prepared, split="validation", window_bins=200, batch_size=20).batch(0)
    assert sum(len(group.index) for group in groups) == 20


def test_read_lazily_or_from_memory_is_the_same(
    prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = source(prepared, label_s={"simA_day0": 5.0})
    monkeypatch.setattr(windows_module, "IN_MEMORY_BYTES", 0)
    lazy = source(prepared, label_s={"simA_day0": 5.0})
    for step in range(4):
        assert same(fast.batch(step), lazy.batch(step))


def test_label_budget_hides_later_labels_of_that_session_only(prepared: PreparedSet) -> None:
    limited, free = source(prepared, label_s={"simA_day0": 5.0}), source(prepared)
    shown = Counter[str]()
    for step in range(13):
        for group, plain in zip(limited.batch(step), free.batch(step), strict=True):
            assert torch.equal(group.features, plain.features)
            if group.session_id == "simA_day0":
                shown["limited"] += int(group.behavior_mask.sum())
            else:
                assert torch.equal(group.behavior_mask, plain.behavior_mask)
    assert 0 < shown["limited"] <= 2 * 500
    nothing = source(prepared, label_s={"simA_day0": 0.0}).batch(0)
    assert all(not g.behavior_mask.any() for g in nothing if g.session_id == "simA_day0")


def test_mistakes_are_explained(prepared: PreparedSet, prepared_dir: Path) -> None:
    with pytest.raises(ValueError, match="known sessions"):
        source(prepared, label_s={"nobody": 1.0})
    with pytest.raises(ValueError, match="expected at least 300 bins of validation"):
        source(prepared, split="validation", window_bins=300)
    with pytest.raises(ValueError, match="expected a split out of"):
        source(prepared, split="valid")
    with pytest.raises(ValueError, match="1 or more"):
        source(prepared, batch_size=0)
    assert WindowSource(prepared_dir, window_bins=50, batch_size=2, seed=0).windows_per_epoch > 0


def test_labelled_windows_only(prepared: PreparedSet) -> None:
    few = source(prepared, label_s={"simA_day0": 5.0}, labelled_only=True)
    rate = 1000 / prepared["simA_day0"].bin_ms
    for step in range(20):
        for group in few.batch(step):
            if group.session_id == "simA_day0":
                assert int(group.start.max()) + few.window_bins <= 5.0 * rate + 1
                assert bool(group.behavior_mask.all(1).any())
    none = source(prepared, label_s={"simA_day0": 0.0}, labelled_only=True)
    assert none.windows_per_epoch == 1 + 28 + 42
