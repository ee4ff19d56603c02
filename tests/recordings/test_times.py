"""Times of samples and of behavior: jitter, packets, invalid spans, counts that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from nwb_cases import HAND, LFP, Spoil

from realm.recordings.fault import RecordingFaultError
from realm.recordings.grid import SampleGrid, from_timestamps
from realm.recordings.open import open_recording

N = 20000
INDEX = np.arange(N)
RNG = np.random.default_rng(0)


def grid_of(stamps: np.ndarray) -> SampleGrid:
    return from_timestamps(Path("a.nwb"), "lfp", stamps, len(stamps))


@pytest.mark.parametrize("jitter_ms", [0.1, 0.6, 0.9])
def test_jitter_is_no_pause(jitter_ms: float) -> None:
    stamps = INDEX / 500 + RNG.uniform(-jitter_ms, jitter_ms, N) / 1000
    found = grid_of(stamps)
    assert found.rate_hz == pytest.approx(500, rel=1e-4)
    assert len(found.runs) == 1
    stamps[9000:] += 1.0
    found = grid_of(stamps)
    assert found.n_samples == pytest.approx(N + 500, abs=2)
    missing = found.n_samples - found.runs[:, 2].sum()
    assert missing == pytest.approx(500, abs=2)
    assert not found.doubt


PACKETS: dict[str, np.ndarray] = {
    "16 in a burst": INDEX // 16 * 16 / 500 + INDEX % 16 * 1e-4,
    "100 in a burst": INDEX // 100 * 100 / 500 + INDEX % 100 * 1e-5,
    "16 of one stamp": INDEX // 16 * 16 / 500,
    "2 of one stamp": INDEX // 2 * 2 / 500,
    "packets that overtake": INDEX / 500 + RNG.normal(0, 5e-3, N // 50)[INDEX // 50],
}


@pytest.mark.parametrize("case", PACKETS)
def test_stamps_of_packets_are_doubted(case: str) -> None:
    found = grid_of(PACKETS[case])
    assert found.rate_hz == pytest.approx(500, rel=2e-3)
    assert "state their rate of" in found.doubt
    assert found.n_samples == N


def test_pauses_between_trials_are_pauses() -> None:
    stamps = INDEX / 500 + np.repeat(np.arange(N // 500), 500) * 2.0
    found = grid_of(stamps)
    assert (len(found.runs), found.rate_hz, found.doubt) == (N // 500, 500.0, "")


def stamped(series: str, stamps: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[f"{series}/starting_time"]
        file[f"{series}/timestamps"] = stamps

    return change


def test_doubtful_times_are_refused_and_the_advice_helps(spoil: Spoil) -> None:
    index = np.arange(15000)
    path = spoil(stamped(LFP, index // 10 * 10 / 250 + index % 10 * 1e-4))
    with pytest.raises(RecordingFaultError, match="250 Hz") as caught:
        open_recording(path)
    assert caught.value.fault == "irregular_time"
    with h5py.File(path, "r+") as file:  # "state their rate of 250 Hz in place of the timestamps"
        del file[f"{LFP}/timestamps"]
        file[f"{LFP}/starting_time"] = 0.0
        file[f"{LFP}/starting_time"].attrs["rate"] = 250.0
    with open_recording(path) as recording:
        assert recording.n_samples == 15000


def test_invalid_times_are_left_out(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        table = file.create_group("intervals/invalid_times")
        table["start_time"], table["stop_time"] = [10.0, 50.0], [25.0, 90.0]

    with open_recording(spoil(change)) as recording:
        assert recording.n_samples == 15000
        missing = np.flatnonzero(np.isnan(recording.read(0, 15000)).all(axis=1))
        np.testing.assert_array_equal(missing, [*range(2500, 6250), *range(12500, 15000)])
        hand = recording.behavior("behavior/Position/hand")
        unknown = hand.timestamps_s[np.isnan(hand.values).all(axis=1)]
        np.testing.assert_allclose(
            unknown, [*np.arange(500, 1250) / 50, *np.arange(2500, 3000) / 50]
        )


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda t: t[:-1], "timestamps"),
        (lambda t: np.where(np.arange(3000) == 7, np.nan, t), "timestamps"),
        (lambda t: t[::-1], "backward_time"),
    ],
    ids=["another length", "one NaN", "backward"],
)
def test_times_of_behavior(
    edit: Callable[[np.ndarray], np.ndarray], fault: str, spoil: Spoil
) -> None:
    path = spoil(stamped(HAND, edit(np.arange(3000) / 50)))
    with (
        open_recording(path) as recording,
        pytest.raises(RecordingFaultError, match="hand") as caught,
    ):
        recording.behavior("behavior/Position/hand")
    assert caught.value.fault == fault
