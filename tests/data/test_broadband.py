"""A broadband file is prepared as it would be decoded, in blocks, with the guard fitted on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.preparation import write_broadband
from realm.data import prepared_file
from realm.data.config import DataConfig
from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSet
from realm.recordings.open import open_recording
from realm.signal import Decimation, SignalConfig
from realm.simulation.write import BEHAVIOR_PATH


def test_a_prepared_broadband_file_holds_what_the_chain_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_file, "BLOCK_VALUES", 4 * 7001)  # no multiple of a bin
    source = write_broadband(tmp_path / "raw.nwb", 4, 6000.0, 60.0)
    data = DataConfig(behavior=BEHAVIOR_PATH, target="velocity", window_s=1.0)
    prepare_session(source, tmp_path / "prepared", SignalConfig(), data)
    (session,) = PreparedSet.load(tmp_path / "prepared")
    chain = session.chain
    assert (chain.sampling_rate_hz, chain.filter_rate_hz) == (6000.0, 1000.0)
    assert any(isinstance(stage, Decimation) for stage in chain.stages)
    with open_recording(source) as recording:
        features = chain.forward(recording.read(0, recording.n_samples))
    assert len(features.values) == 6000
    np.testing.assert_allclose(session.features(0, 6000), features.values, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("rate", "seconds"), [(30_000.0, 60.0), (1000.0, 600.0), (30_000.0, 4.0)])
def test_the_guard_is_fitted_on_blocks_longer_than_what_counts_as_flat(
    rate: float, seconds: float
) -> None:
    spans = []

    class Spy:
        n_channels, sampling_rate_hz, n_samples = 96, rate, round(rate * seconds)

        def read(self, start: int, stop: int) -> np.ndarray:
            spans.append((start, stop))
            return np.full((stop - start, 96), float(start))

    recording: Any = Spy()
    samples = prepared_file._training_samples(recording, 0.7 * seconds, flat_ms=200.0)
    assert samples.size <= prepared_file.GUARD_VALUES
    assert sum(stop - start for start, stop in spans) == len(samples)
    assert all(stop - start > 0.2 * rate for start, stop in spans)
    assert spans[0][0] >= 0
    assert spans[-1][1] <= 0.7 * seconds * rate
    assert len({start for start, _ in spans}) == len(spans) > 1 or seconds == 4.0
