"""On real and simulated recordings the guard stays quiet where there is nothing to guard."""

from __future__ import annotations

import numpy as np
import pytest
from real_recordings import real_data

from realm.signal import SignalChain, SignalConfig

pytestmark = pytest.mark.data


def read(name: str, seconds: float) -> tuple[np.ndarray, float]:
    h5py = pytest.importorskip("h5py")
    folder, _, file_name = name.partition("/")
    with h5py.File(real_data(folder) / file_name) as file:
        series = file["processing/ecephys/LFP/ElectricalSeriesLFP"]
        rate = float(series["starting_time"].attrs["rate"])
        data = series["data"]
        return data[: int(seconds * rate)] * float(data.attrs["conversion"]), rate


def chain_for(x: np.ndarray, rate: float) -> SignalChain:
    return SignalChain(SignalConfig(), rate, [str(c) for c in range(x.shape[1])]).fit_guard(x)


def test_dead_channels_of_the_simulation_and_no_others() -> None:
    x, rate = read("reach_sim/sim1_day00.nwb", 60.0)
    chain = chain_for(x, rate)
    assert sorted(chain.dead_channels, key=int) == ["16", "19", "27"]
    alive = [c for c in range(32) if str(c) not in chain.dead_channels]
    assert not chain.forward(x).filled[:, alive].any()
    day1, rate = read("reach_sim/sim1_day01.nwb", 60.0)
    chain = chain_for(day1, rate)
    assert not chain.dead_channels
    assert not chain.forward(day1).filled.any()


@pytest.mark.parametrize(
    "name", ["CSR6", "M845_140919t1rh", "M851_140908t2rh", "hafting_11684_20020710"]
)
def test_in_real_recordings_only_rails_and_blanks_are_flagged(name: str) -> None:
    x, rate = read(f"rodent_lfp/{name}.nwb", 300.0)
    chain = chain_for(x, rate)
    assert not chain.dead_channels
    guard = chain.stages[0]
    bad = guard.step(x, guard.initial_state())[0].bad
    assert bad.mean() < 0.01
    assert bad.mean(axis=0).max() < 0.02
    # what is flagged repeats one value: no sample that moves is taken for bad
    repeats = np.zeros_like(bad)
    repeats[1:] = x[1:] == x[:-1]
    assert repeats[bad].mean() > 0.999 if bad.any() else True


def test_features_of_a_real_recording_are_standard_on_time_not_seen() -> None:
    x, rate = read("rodent_lfp/CSR6.nwb", 300.0)
    train = x[: int(200 * rate)]
    chain = chain_for(train, rate)
    chain = chain.fit_normalization(chain.forward(train))
    seen = chain.forward(x).values[20500:]
    assert np.abs(seen.mean(axis=0)).max() < 1.0
    assert 0.5 < seen.std(axis=0).min() < seen.std(axis=0).max() < 2.0
