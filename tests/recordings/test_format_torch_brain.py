"""Sessions as torch_brain writes them, with a break in their domain."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from realm.recordings.open import find_recordings, open_recording
from realm.simulation.simulate import SimulatedSession

tb = pytest.importorskip("torch_brain.data")
PREPARED = ("features", "provenance", "chain")


@pytest.fixture
def path(session: SimulatedSession, tmp_path: Path) -> Path:
    times = np.arange(30000) / 500
    times[20000:] += 1.5
    lfp = tb.RegularTimeSeries.from_gappy_timeseries(times, 500.0, values=session.lfp_uv)
    hand = tb.IrregularTimeSeries(
        timestamps=session.behavior.timestamps_s, pos=session.behavior.values, domain="auto"
    )
    data = tb.Data(
        domain=tb.Interval(0.0, 62.0),
        session=tb.SessionDescription(id="day1"),
        subject=tb.SubjectDescription(id="m1"),
        channels=tb.ArrayDict(
            id=np.array(["a", "b", "c", "d"]), region=np.array(["M1", "M1", "S1", "S1"])
        ),
        recorded=tb.Data(domain=tb.Interval(0.0, 62.0), lfp=lfp),
        hand=hand,
    )
    path = tmp_path / "any.h5"
    with h5py.File(path, "w") as file:
        data.to_hdf5(file)
    return path


def test_torch_brain(path: Path, session: SimulatedSession) -> None:
    (path.parent / "recording.toml").write_text('unit = "uV"')
    assert find_recordings(path.parent) == [path]
    with open_recording(path) as recording:
        assert (recording.session_id, recording.subject) == ("m1_day1", "m1")
        assert recording.lfp_path == "recorded/lfp/values"
        assert recording.channel_names == ("a", "b", "c", "d")
        assert recording.regions == ("M1", "M1", "S1", "S1")
        x = recording.read(0, recording.n_samples) * 1e6
        missing = np.flatnonzero(np.isnan(x).all(axis=1))
        np.testing.assert_array_equal(missing, np.arange(20000, 20750))
        np.testing.assert_allclose(x[20750:], session.lfp_uv[20000:])
        hand = recording.behavior("hand/pos")
        np.testing.assert_allclose(hand.values, session.behavior.values)


def test_the_unit_must_be_stated(path: Path) -> None:
    with pytest.raises(ValueError, match=r'unit = "uV"'):
        open_recording(path)


def test_several_series_are_listed(path: Path) -> None:
    (path.parent / "recording.toml").write_text('unit = "uV"')
    with h5py.File(path, "r+") as file:
        file.copy("recorded/lfp", "recorded/lfp2")
    with pytest.raises(ValueError, match=r"recorded/lfp/values, recorded/lfp2/values. Set lfp"):
        open_recording(path)
    with open_recording(path, "recorded/lfp2/values") as recording:
        assert recording.n_channels == 4


def test_prepared_sessions_are_no_recordings(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for name in PREPARED:
            file.create_group(name)
    with pytest.raises(ValueError, match="found none"):
        find_recordings(path.parent)
