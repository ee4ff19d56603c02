"""Every fault is found in a file that has it, and nothing else is; clean files pass."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from real_recordings import real_data

from realm.inspection.inspection import inspect_recording
from realm.inspection.screen import HEIGHT, WIDTH, screen
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session

Change = Callable[[h5py.File], None]
LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"


def rewritten(file: h5py.File, edit: Callable[[np.ndarray], Any]) -> None:
    """The LFP, in its own unit, after `edit`."""
    old = file[f"{LFP}/data"]
    kept = dict(old.attrs)
    values = edit(old[...].astype(np.float32))
    del file[f"{LFP}/data"]
    file[f"{LFP}/data"] = values
    file[f"{LFP}/data"].attrs.update(kept)


def transposed(file: h5py.File) -> None:
    rewritten(file, lambda x: x.T)


def transposed_without_electrodes(file: h5py.File) -> None:
    del file[f"{LFP}/electrodes"]
    rewritten(file, lambda x: x.T)


def nan_conversion(file: h5py.File) -> None:
    file[f"{LFP}/data"].attrs["conversion"] = np.nan


def nan_data(file: h5py.File) -> None:
    def edit(x: np.ndarray) -> np.ndarray:
        x[7000:7050, 2] = np.nan
        return x

    rewritten(file, edit)


def flat_channel(file: h5py.File) -> None:
    def edit(x: np.ndarray) -> np.ndarray:
        x[:, 3] = x[0, 3]
        return x

    rewritten(file, edit)


def microvolts_as_volts(file: h5py.File) -> None:
    file[f"{LFP}/data"].attrs["conversion"] *= 1e6


def millivolts_as_volts(file: h5py.File) -> None:
    file[f"{LFP}/data"].attrs["conversion"] *= 1e3


def stamps(file: h5py.File, edit: Callable[[np.ndarray], None], keep_rate: bool = False) -> None:
    times = np.arange(len(file[f"{LFP}/data"])) / 250.0
    edit(times)
    if not keep_rate:
        del file[f"{LFP}/starting_time"]
    file[f"{LFP}/timestamps"] = times


def gap(file: h5py.File) -> None:
    def edit(times: np.ndarray) -> None:
        times[10000:] += 3.0

    stamps(file, edit)


def backward_time(file: h5py.File) -> None:
    def edit(times: np.ndarray) -> None:
        times[10000:] -= 3.0

    stamps(file, edit)


def rate_against_timestamps(file: h5py.File) -> None:
    def edit(times: np.ndarray) -> None:
        times *= 250 / 240

    stamps(file, edit, keep_rate=True)


def rate_halved(file: h5py.File) -> None:
    file[f"{LFP}/starting_time"].attrs["rate"] = 125.0


def rate_doubled(file: h5py.File) -> None:
    file[f"{LFP}/starting_time"].attrs["rate"] = 500.0


def rate_of_another_clock(file: h5py.File) -> None:
    file[f"{LFP}/starting_time"].attrs["rate"] = 256.0
    del file["processing/behavior"], file["processing/ecephys/threshold_crossings"]


def two_lines(file: h5py.File) -> None:
    """The strongest line is no mains at any usual mistake; the weaker one is, by a factor 1.024."""
    rng, n = np.random.default_rng(0), len(file[f"{LFP}/data"])
    t = np.arange(n) / 250
    lines = 900 * np.sin(2 * np.pi * 41 * t) + 700 * np.sin(2 * np.pi * 51.2 * t)
    rewritten(file, lambda x: rng.normal(0, 2000, x.shape) + lines[:, None])
    no_behavior(file)


def as_channel(values: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Channel 2 holds something else, in counts, from the seconds of the samples."""

    def change(file: h5py.File) -> None:
        def edit(x: np.ndarray) -> np.ndarray:
            x[:, 2] = np.round(values(np.arange(len(x)) / 250))
            return x

        rewritten(file, edit)

    return change


def held(t: np.ndarray) -> np.ndarray:
    """A joystick of 25 Hz, as large as the LFP."""
    return 5000 * np.sin(np.floor(t * 25) / 25 * 3)


def electrodes_missing(file: h5py.File) -> None:
    kept = dict(file[f"{LFP}/electrodes"].attrs)
    del file[f"{LFP}/electrodes"]
    file[f"{LFP}/electrodes"] = np.arange(4)
    file[f"{LFP}/electrodes"].attrs.update(kept)


def electrodes_outside_the_table(file: h5py.File) -> None:
    file[f"{LFP}/electrodes"][...] = np.arange(6) + 3


def too_short(file: h5py.File) -> None:
    rewritten(file, lambda x: x[: 40 * 250])


def other_clock(file: h5py.File) -> None:
    file[f"{HAND}/starting_time"][()] = 5000.0


FAULTS: dict[str, tuple[Change, str, list[str]]] = {
    "transposed": (transposed, "transposed", ["swapped", "transpose"]),
    "transposed, no electrodes": (transposed_without_electrodes, "transposed", ["6 samples"]),
    "NaN conversion": (nan_conversion, "conversion", ["nan", "set the conversion"]),
    "NaN data": (nan_data, "nan_data", ["channel ch02", "28.000 s"]),
    "flat channel": (flat_channel, "flat_channel", ["ch03", "never change"]),
    "µV as V": (microvolts_as_volts, "unit", ["microvolts"]),
    "mV as V": (millivolts_as_volts, "unit", ["millivolts"]),
    "gap": (gap, "gap", ["1 gap of 3.000 s", "at 40.000 s"]),
    "backward time": (backward_time, "backward_time", ["sample 10000", "sort or correct"]),
    "rate and timestamps": (rate_against_timestamps, "wrong_rate", ["250 Hz", "240 Hz"]),
    "rate halved": (rate_halved, "wrong_rate", ["line at 25.0 Hz", "250 Hz and not 125 Hz"]),
    "rate doubled": (rate_doubled, "wrong_rate", ["line at 100.0 Hz", "250 Hz and not 500 Hz"]),
    "rate of another clock": (rate_of_another_clock, "wrong_rate", ["not 256 Hz"]),
    "two lines": (two_lines, "wrong_rate", ["line at 51.2 Hz", "244.1"]),
    "a trigger": (
        as_channel(lambda t: 8000.0 * (t % 3 < 0.1)),
        "odd_channel",
        ["ch02", "steps", "leave_out"],
    ),
    "a joystick": (as_channel(held), "odd_channel", ["ch02", "steps"]),
    "a smooth joystick": (
        as_channel(lambda t: 5000 * np.sin(t)),
        "odd_channel",
        ["ch02", "without the noise"],
    ),
    "volts beside microvolts": (
        as_channel(lambda t: 3e6 * np.sin(t * 40)),
        "odd_channel",
        ["ch02", "100 times"],
    ),
    "electrodes missing": (electrodes_missing, "electrodes", ["4 electrodes for 6 channels"]),
    "electrodes elsewhere": (electrodes_outside_the_table, "electrodes", ["rows up to 8"]),
    "too short": (too_short, "too_short", ["50 s", "40.0 s"]),
    "behavior on another clock": (other_clock, "no_overlap", ["5000.0", "one clock"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_exactly_this_fault_is_found(case: str, spoiled: Callable[[Change], Path]) -> None:
    change, name, said = FAULTS[case]
    found = inspect_recording(spoiled(change))
    assert [fault.fault for fault in found.faults] == [name]
    for words in said:
        assert words in found.faults[0].text
    assert found.usable == (name in ("nan_data", "flat_channel", "gap"))
    assert not found.fit
    assert_one_screen(screen(found))


def assert_one_screen(lines: list[str]) -> None:
    assert len(lines) < HEIGHT
    assert max(map(len, lines)) <= WIDTH


def test_several_faults_are_found_together(spoiled: Callable[[Change], Path]) -> None:
    def change(file: h5py.File) -> None:
        nan_data(file)
        flat_channel(file)
        gap(file)

    found = inspect_recording(spoiled(change))
    assert [fault.fault for fault in found.faults] == ["nan_data", "flat_channel", "gap"]


def test_a_flagged_channel_may_be_flat(spoiled: Callable[[Change], Path]) -> None:
    def change(file: h5py.File) -> None:
        flat_channel(file)
        file["general/extracellular_ephys/electrodes/bad"][3] = True

    found = inspect_recording(spoiled(change))
    assert found.fit
    assert "1 channel is flagged as bad in the file" in found.notes


def test_a_stretch_that_stands_still_is_noted(spoiled: Callable[[Change], Path]) -> None:
    def change(file: h5py.File) -> None:
        def edit(x: np.ndarray) -> np.ndarray:
            x[5000:6000, 1] = 7
            return x

        rewritten(file, edit)

    found = inspect_recording(spoiled(change))
    assert found.fit
    assert any(re.search(r"4\.0 s.* 20\.0 to 24\.0 s", note) for note in found.notes)


SIMULATED = [
    SimulationConfig(duration_s=60, channels=5, sampling_rate_hz=250, behavior_rate_hz=50),
    SimulationConfig(duration_s=70, channels=16, sampling_rate_hz=1000, task="center_out", seed=4),
    SimulationConfig(duration_s=60, channels=1, dead_channels=0, sampling_rate_hz=200, seed=9),
]


@pytest.mark.parametrize("config", SIMULATED, ids=lambda c: f"{c.channels} channels")
def test_no_false_alarm_on_simulated_recordings(config: SimulationConfig, tmp_path: Path) -> None:
    found = inspect_recording(write_session(tmp_path / "a.nwb", simulate_session(config)))
    assert found.faults == ()
    assert found.suggestion is not None
    assert found.suggestion.behavior == "behavior/Position/hand"
    assert_one_screen(screen(found))


@pytest.mark.data
@pytest.mark.parametrize("folder", ["reach_sim", "rodent_lfp"])
def test_no_false_alarm_on_real_recordings(folder: str) -> None:
    for path in sorted(real_data(folder).glob("*.nwb")):
        found = inspect_recording(path)
        assert found.faults == (), path
        assert found.suggestion is not None
        assert_one_screen(screen(found))


def a_line_near_mains(file: h5py.File) -> None:
    n = len(file[f"{LFP}/data"])
    line = 900 * np.sin(2 * np.pi * 51 * np.arange(n) / 250)
    noise = np.random.default_rng(0).normal(0, 2000, (n, 6))
    rewritten(file, lambda x: noise + line[:, None])
    no_behavior(file)


def everything_missing(file: h5py.File) -> None:
    rewritten(file, lambda x: np.full_like(x, np.nan))


def everything_flat(file: h5py.File) -> None:
    rewritten(file, np.zeros_like)


def five_samples(file: h5py.File) -> None:
    del file[f"{LFP}/electrodes"]
    rewritten(file, lambda x: x[:5, :2])


def slow_rate(file: h5py.File) -> None:
    file[f"{LFP}/starting_time"].attrs["rate"] = 20.0


def no_behavior(file: h5py.File) -> None:
    del file["processing/behavior"], file["processing/ecephys/threshold_crossings"]


EXTREMES: list[tuple[Change, list[str]]] = [
    (everything_missing, ["nan_data"]),
    (everything_flat, ["flat_channel"]),
    (five_samples, ["too_short"]),
    (slow_rate, ["behavior_clock"]),
    (no_behavior, []),
    (a_line_near_mains, []),
]


@pytest.mark.parametrize(("change", "faults"), EXTREMES)
def test_extremes_are_described(
    change: Change, faults: list[str], spoiled: Callable[[Change], Path]
) -> None:
    found = inspect_recording(spoiled(change))
    assert [fault.fault for fault in found.faults] == faults
    assert found.as_json()["neural"]["channels"] in (2, 6)
    assert_one_screen(screen(found))
