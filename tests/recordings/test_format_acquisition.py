"""Blackrock, Open Ephys, Axona and Plexon files, and what neo's interface says of any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from acquisition_files import (
    write_axona,
    write_blackrock,
    write_open_ephys,
    write_plexon,
    write_spike2,
)

from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.neo import open_neo
from realm.recordings.open import find_recordings, open_recording
from realm.recordings.recording import Recording


def counts(n: int, channels: int, seed: int = 0, most: int = 3000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most, (n, channels)).astype(np.int16)


def gap_of(recording: Recording) -> np.ndarray:
    x = recording.read(0, recording.n_samples)
    return np.flatnonzero(np.isnan(x).all(axis=1))


@pytest.mark.parametrize("version", [(2, 2), (2, 3), (3, 0)])
@pytest.mark.parametrize("suffix", [".ns2", ".ns3"])
def test_blackrock_with_pauses(version: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    rate = {".ns2": 1000, ".ns3": 2000}[suffix]
    first, second, third = counts(4000, 3), counts(3000, 3, 1), counts(500, 3, 2)
    ticks = [
        300,
        300 + (4000 + 700) * 30000 // rate,
        300 + (4000 + 700 + 3000 + 90) * 30000 // rate,
    ]
    parts = list(zip(ticks, [first, second, third], strict=True))
    path = write_blackrock(tmp_path / f"a{suffix}", parts, version)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert recording.sampling_rate_hz == rate
        assert recording.start_s == pytest.approx(0.01)
        assert recording.n_samples == 4000 + 700 + 3000 + 90 + 500
        assert recording.channel_names == ("chan1", "chan2", "chan3")
        missing = [*range(4000, 4700), *range(7700, 7790)]
        np.testing.assert_array_equal(gap_of(recording), missing)
        unit = 1e-6 * 8191 / 32764
        np.testing.assert_allclose(recording.read(3990, 4000), first[-10:] * unit, rtol=1e-6)
        np.testing.assert_allclose(recording.read(4700, 4800), second[:100] * unit, rtol=1e-6)
        np.testing.assert_allclose(recording.read(7790, 8290), third * unit, rtol=1e-6)


def test_a_clock_of_blackrock_that_starts_again_is_refused(tmp_path: Path) -> None:
    parts = [(90000, counts(4000, 2)), (0, counts(4000, 2))]
    path = write_blackrock(tmp_path / "a.ns2", parts)
    with pytest.raises(ValueError, match=r"a\.ns2: expected"):
        open_recording(path)


def test_analog_inputs_of_blackrock_are_behavior(tmp_path: Path) -> None:
    samples = counts(5000, 3)
    path = write_blackrock(tmp_path / "a.ns2", [(0, samples)])
    (tmp_path / "a.toml").write_text(
        'behavior.stick = { channels = ["chan2", "chan3"], gain = 4e6, unit = "counts" }'
    )
    with open_recording(path) as recording:
        assert recording.channel_names == ("chan1",)
        stick = recording.behavior("stick")
        np.testing.assert_allclose(stick.values, samples[:, 1:], rtol=1e-3, atol=0.1)
        assert stick.names == ("chan2", "chan3")


def test_open_ephys_with_jumping_sample_numbers(tmp_path: Path) -> None:
    samples = counts(6000, 4)
    numbers = np.arange(6000) + 12000
    numbers[2500:] += 310
    numbers[4000:] += 1
    path = write_open_ephys(tmp_path / "2026-01-02_10-00-00", samples, numbers, 1000.0, n_adc=1)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path.parent) as recording:
        assert recording.session_id == "2026-01-02_10-00-00_experiment1_recording2"
        assert recording.channel_names == ("CH1", "CH2", "CH3")
        assert (recording.start_s, recording.sampling_rate_hz) == (12.0, 1000)
        np.testing.assert_array_equal(gap_of(recording), [*range(2500, 2810), 4310])
        np.testing.assert_allclose(recording.read(0, 9), samples[:9, :3] * 0.195e-6)
        np.testing.assert_allclose(recording.read(2810, 2900), samples[2500:2590, :3] * 0.195e-6)
        adc = recording.behavior("ADC1")
        np.testing.assert_allclose(adc.values[:, 0], samples[:, 3] * 1.5e-4)
        np.testing.assert_allclose(adc.timestamps_s, numbers / 1000)


def test_sample_numbers_that_jump_back_are_refused(tmp_path: Path) -> None:
    numbers = np.arange(3000)
    numbers[1000:] -= 500
    path = write_open_ephys(tmp_path, counts(3000, 2), numbers, 1000.0)
    with pytest.raises(RecordingFaultError, match="in the order of time") as caught:
        open_recording(path)
    assert caught.value.fault == "backward_time"


def test_axona(tmp_path: Path) -> None:
    channels = counts(15000, 2, most=120).astype(np.int8)
    position = np.cumsum(np.random.default_rng(1).integers(-2, 3, (3000, 2)), axis=0) + 500.0
    position[100:120] = np.nan
    path = write_axona(tmp_path / "trial.set", channels, [5000, 8000], position)
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert (recording.sampling_rate_hz, recording.n_samples) == (250, 15000)
        assert recording.channel_names == ("eeg1", "eeg2")
        unit = 1.5 / np.array([5000, 8000]) / 128
        np.testing.assert_allclose(recording.read(10, 20), channels[10:20] * unit)
        found = recording.behavior("position")
        np.testing.assert_allclose(found.values, position / 300)
        np.testing.assert_allclose(found.timestamps_s, np.arange(3000) / 50)
        assert found.unit == "m"
        assert len(recording.files) == 4
    path.with_suffix(".eeg2").write_bytes(b"sample_rate 250 hz\r\ndata_start123")
    with pytest.raises(ValueError, match=r"trial\.eeg2: expected data between"):
        open_recording(path)


def test_plexon_with_a_pause(tmp_path: Path) -> None:
    first, second = counts(3000, 2, most=2000), counts(2000, 2, 1, most=2000)
    path = write_plexon(tmp_path / "a.plx", [(0, first), (3500 * 40, second)])
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert recording.sampling_rate_hz == 1000
        assert recording.channel_names == ("AD01", "AD02")
        unit = 5.0 / (32768 * 1000)
        np.testing.assert_allclose(recording.read(0, 100), first[:100] * unit, rtol=1e-6)
        np.testing.assert_array_equal(gap_of(recording), np.arange(3000, 3500))


def test_spike2_with_a_pause(tmp_path: Path) -> None:
    first, second = counts(3500, 3), counts(2000, 3, 1)
    parts = [(50_000, first), (50_000 + 4000 * 1000, second)]
    path = write_spike2(tmp_path / "a.smr", parts, [b"mV", b"mV", b"deg"])
    assert find_recordings(tmp_path) == [path]
    with open_recording(path) as recording:
        assert (recording.sampling_rate_hz, recording.n_samples) == (1000, 6000)
        assert recording.start_s == pytest.approx(0.05)
        assert recording.channel_names == ("lfp1", "lfp2")
        np.testing.assert_array_equal(gap_of(recording), np.arange(3500, 4000))
        read = recording.read(0, recording.n_samples)
        np.testing.assert_allclose(read[:3500], first[:, :2] / 6553.6e3, rtol=1e-6)
        np.testing.assert_allclose(read[4000:], second[:, :2] / 6553.6e3, rtol=1e-6)
        (name,) = recording.behavior_paths()
        angle = recording.behavior(name)
        assert angle.unit == "deg"
        turned = np.concatenate([first, second])[:, 2:] / 6553.6
        np.testing.assert_allclose(angle.values, turned, rtol=1e-6)
        times = np.concatenate([0.05 + np.arange(3500) / 1000, 4.05 + np.arange(2000) / 1000])
        np.testing.assert_allclose(angle.timestamps_s, times, atol=1e-6)


def test_the_interface_of_neo(tmp_path: Path) -> None:
    """neo's own example reader: two streams, units of microvolts, segments apart in time."""
    from neo.rawio import ExampleRawIO

    class OneBlock(ExampleRawIO):  # type: ignore[misc]
        def _parse_header(self) -> None:
            super()._parse_header()
            self.header["nb_block"], self.header["nb_segment"] = 1, [2]

    path = tmp_path / "a.example"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"stream.*Set lfp"):
        open_neo(path, OneBlock(str(path)))
    reader = OneBlock(str(path))
    reader.parse_header()
    name = str(reader.header["signal_streams"]["name"][0])
    with open_neo(path, OneBlock(str(path)), name) as recording:
        rate = recording.sampling_rate_hz
        size = reader.get_signal_size(0, 0, 0)
        begin = reader.get_signal_t_start(0, 1, 0) - reader.get_signal_t_start(0, 0, 0)
        np.testing.assert_array_equal(gap_of(recording), np.arange(size, round(begin * rate)))
        raw = reader.get_analogsignal_chunk(0, 1, 3, 9, 0)
        expected = reader.rescale_signal_raw_to_float(raw, "float64", 0) * 1e-6
        place = round(begin * rate) + 3
        np.testing.assert_allclose(recording.read(place, place + 6), expected)
        assert recording.behavior_paths()


def test_foreign_files_of_every_kind(tmp_path: Path) -> None:
    for name in ("a.ns3", "a.plx", "a.smr", "structure.oebin"):
        path = tmp_path / name
        path.write_bytes(b"nothing of the kind" * 40)
        with pytest.raises(ValueError, match=f"{name}: expected"):
            open_recording(path)
