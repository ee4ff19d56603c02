"""The shared recordings, where they are present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cases import SIGNAL, shared

from realm.data.config import DataConfig
from realm.data.prepare import prepare_all
from realm.data.sessions import PreparedSet
from realm.data.windows import WindowSource
from realm.recordings.open import open_recording

REACH = DataConfig(behavior="behavior/Position/hand", target="velocity")
RODENT = DataConfig(behavior="behavior/Position/position", target="speed", smoothing_s=0.4)


@pytest.mark.data
def test_rodents(tmp_path: Path) -> None:
    prepare_all(shared("rodent_lfp"), tmp_path, SIGNAL, RODENT, workers=1)
    sessions = PreparedSet.load(tmp_path)
    assert [len(s.channel_names) for s in sessions] == [32, 1, 1, 4]
    assert len({s.subject for s in sessions}) == 4
    for session in sessions:
        for split, span in session.splits.items():
            values, mask = session.behavior(*span)
            assert 0.5 < mask.mean() <= 1, (session.session_id, split)
            assert 0.02 < values[mask].mean() < 1.0
            assert np.isfinite(session.features(*span)).all()
        assert session.filled(0, session.n_bins).mean() < 0.01
    lost = sessions["CSR6"].behavior(0, 90_000)[1]
    assert 0.25 < 1 - lost.mean() < 0.35
    groups = WindowSource(sessions, window_bins=400, batch_size=16, seed=0).batch(0)
    assert len({group.features.shape[2] for group in groups}) > 1


@pytest.mark.data
def test_reaching(tmp_path: Path) -> None:
    paths = shared("reach_sim")
    prepare_all(paths[:2], tmp_path, SIGNAL, REACH, workers=1)
    sessions = PreparedSet.load(tmp_path)
    assert {s.subject for s in sessions} == {"sim1"}
    assert sessions["sim1_day00"].splits == {
        "train": (0, 16_800),
        "validation": (17_000, 19_000),
        "test": (19_200, 24_000),
    }
    assert len(sessions["sim1_day00"].chain.dead_channels) == 3
    with open_recording(paths[0]) as recording:
        hand = recording.behavior("behavior/Position/hand").values
        assert recording.behavior_paths() == [
            "behavior/Position/hand",
            "ecephys/threshold_crossings",
        ]
    velocity, mask = sessions["sim1_day00"].behavior(0, 24_000)
    assert mask.sum() == 23_999  # the hand is not known at the very end of the last bin
    np.testing.assert_allclose(velocity[:-2], (hand[2:] - hand[:-2]) * 50, atol=1e-4)


@pytest.mark.data
def test_spike_counts_as_input(tmp_path: Path) -> None:
    with open_recording(shared("reach_sim")[0], "ecephys/threshold_crossings") as recording:
        assert (recording.sampling_rate_hz, recording.n_channels) == (100, 32)
        counts = recording.read(0, 1000)
        assert (counts == np.rint(counts)).all()
