"""The paper-compatible protocol: kept apart, as published, and never in the way of what streams."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import realm
from realm.benchmark.leaky_data import (
    SegmentWindows,
    ShuffledSession,
    whole_session_features,
    window_bins,
)
from realm.benchmark.paper_protocol import ProtocolRow, paper_protocol, protocol_table
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.recipe import Recipe
from realm.recordings.open import open_recording
from realm.signal import SignalConfig


@pytest.fixture(scope="module")
def session(recordings: list[Path], recipe: Recipe, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("shuffled")
    path = prepare_session(recordings[0], folder, recipe.signal, recipe.data)
    whole = PreparedSession.load(path)
    counted = np.arange(whole.n_bins, dtype=np.float32)[:, None, None]
    shape = (whole.n_bins, len(whole.channel_names), len(whole.band_names))
    return ShuffledSession.of(path, np.broadcast_to(counted, shape).copy(), seed=0), whole


def test_segments_are_shuffled_into_splits_that_share_none(session) -> None:
    shuffled, whole = session
    segment = 2 * window_bins(whole.bin_ms)
    at = shuffled.features(0, shuffled.n_bins)[:, 0, 0].astype(int)  # bin of the recording
    assert len(set(at)) == len(at) == whole.n_bins // segment * segment
    segments = {name: set(at[slice(*span)] // segment) for name, span in shuffled.splits.items()}
    assert [len(found) for found in segments.values()] == [5, 1, 1]
    assert not segments["train"] & segments["validation"]
    assert not segments["test"] & (segments["train"] | segments["validation"])
    values, mask = shuffled.behavior(0, shuffled.n_bins)
    expected, known = whole.behavior(0, whole.n_bins)
    np.testing.assert_array_equal(values, expected[at])
    np.testing.assert_array_equal(mask, known[at])


def test_windows_stay_within_a_segment_and_come_once_an_epoch(session) -> None:
    shuffled, _ = session
    length = window_bins(shuffled.bin_ms)
    source = SegmentWindows([shuffled], window_bins=length, batch_size=2, seed=1)
    seen = [w for step in range(source.steps_per_epoch) for w in source.batch(step)]
    starts = [start for group in seen for start in group.start.tolist()]
    assert sorted(starts) == list(range(0, shuffled.splits["train"][1], length))
    for group in seen:
        for features in group.features[..., 0, 0]:
            assert (features.diff() == 1).all()  # one piece of the recording
    again = SegmentWindows([shuffled], window_bins=length, batch_size=2, seed=1)
    assert [g.start.tolist() for g in again.batch(0)] == [g.start.tolist() for g in seen[:1]]


def test_zero_phase_features_are_not_late_and_are_z_scores(recordings: list[Path]) -> None:
    signal = SignalConfig(preset="multiband", bin_ms=20.0, line_hz=50)
    with open_recording(recordings[0]) as recording:
        features = whole_session_features(recording, signal)
        slow = whole_session_features(recording, SignalConfig(preset="slow", bin_ms=20.0))
        raw = recording.read(0, recording.n_samples)
    assert features.shape[1] == raw.shape[1]
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-3)
    alive = features.any(axis=(0, 2))  # one channel is dead
    assert alive.sum() >= raw.shape[1] - 1
    np.testing.assert_allclose(features[:, alive].std(axis=0), 1, atol=1e-3)
    per_bin = round(raw.shape[0] / len(slow))
    binned = raw[: len(slow) * per_bin].reshape(len(slow), per_bin, -1).mean(axis=1)
    binned = binned - binned.mean(axis=1, keepdims=True)  # the common average
    lags = range(-5, 6)
    agreement = [
        np.corrcoef(np.roll(binned[:, 0], lag)[10:-10], slow[10:-10, 0, 0])[0, 1] for lag in lags
    ]
    assert lags[int(np.argmax(agreement))] == 0


def test_both_protocols_and_their_difference(
    recipe: Recipe, recordings: list[Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in recordings[1:]:
        (data / path.name).symlink_to(path)
    rows = paper_protocol(recipe, data, tmp_path / "out")
    assert {row.method for row in rows} == {"teacher_probe", "student_probe"}
    assert len(rows) == 4
    for row in rows:
        assert row.inflation == pytest.approx(row.r2_paper_compatible - row.r2_leak_free)
    with (tmp_path / "out" / "paper_protocol.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0]) == list(ProtocolRow._fields)
    assert not list((tmp_path / "out").rglob("results.csv"))
    text = protocol_table(rows).markdown()
    assert "Inflation" in text

    elsewhere = paper_protocol(
        recipe, data, tmp_path / "other", leak_free=tmp_path / "out" / "leak_free"
    )
    assert not (tmp_path / "other" / "leak_free").exists()
    assert elsewhere == rows  # trained again on shuffled segments, to the same weights


def test_nothing_that_streams_can_reach_a_filter_that_looks_ahead() -> None:
    package = Path(realm.__file__).parent
    texts = {str(p.relative_to(package)): p.read_text() for p in package.rglob("*.py")}
    del texts["moved.py"]  # names of modules, imported only by those who use an old name

    def having(text: str) -> set[str]:
        return {name for name, content in texts.items() if text in content}

    assert having("filtfilt") == {"benchmark/leaky_data.py"}
    assert having("benchmark.leaky_data") == {"benchmark/paper_protocol.py"}
    assert having("benchmark.paper_protocol") <= {"commands/measure.py"}
    outside = {name for name in having("realm.benchmark") if not name.startswith("benchmark/")}
    assert outside <= {"commands/measure.py"}
