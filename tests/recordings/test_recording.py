from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from nwb_cases import HAND, LFP, Spoil

from realm.recordings.open import open_recording
from realm.simulation.simulate import SimulatedSession


def replace(file: h5py.File, name: str, value: object) -> h5py.Dataset:
    if name in file:
        del file[name]
    return file.create_dataset(name, data=value)


def to_timestamps(file: h5py.File, series: str, stamps: np.ndarray) -> None:
    del file[f"{series}/starting_time"]
    file[f"{series}/timestamps"] = stamps


def test_what_was_simulated_is_read_back(recording_path: Path, simulated: SimulatedSession) -> None:
    with open_recording(recording_path) as recording:
        assert (recording.session_id, recording.subject) == ("simA_day0", "simA")
        assert recording.sampling_rate_hz == 250
        assert recording.n_samples == 15000
        assert recording.channel_names == ("ch00", "ch01", "ch02", "ch03", "ch04")
        assert recording.regions == ("M1 (simulated)",) * 5
        assert recording.bad_channels == (False,) * 5
        part = recording.read(100, 300)
        np.testing.assert_allclose(part * 1e6, simulated.lfp_uv[100:300], atol=0.0051)
        assert recording.read(14990, 20000).shape == (10, 5)
        hand = recording.behavior("behavior/Position/hand")
        np.testing.assert_allclose(hand.values, simulated.behavior.values, atol=1e-7)
        np.testing.assert_allclose(hand.timestamps_s, simulated.behavior.timestamps_s)
        assert (hand.unit, hand.names) == ("meters", ("x", "y"))
        whole_name = recording.behavior("processing/behavior/Position/hand")
        np.testing.assert_array_equal(whole_name.values, hand.values)


def test_blocks_are_the_whole(recording_path: Path) -> None:
    with open_recording(recording_path) as recording:
        blocks = list(recording.blocks(4096))
        np.testing.assert_array_equal(np.concatenate(blocks), recording.read(0, 15000))
        assert max(map(len, blocks)) == 4096


def test_conversion_channel_conversion_and_offset_give_volts(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file[f"{LFP}/data"].attrs["conversion"] = 2e-6
        file[f"{LFP}/data"].attrs["offset"] = 0.5
        replace(file, f"{LFP}/channel_conversion", [1.0, 2.0, 3.0, 4.0, 5.0])

    path = spoil(change)
    with open_recording(path) as recording, h5py.File(path) as file:
        stored = file[f"{LFP}/data"][:10].astype(float)
        expected = stored * 2e-6 * np.arange(1, 6) + 0.5
        np.testing.assert_allclose(recording.read(0, 10), expected, rtol=1e-12)


def test_bad_flags_and_names_follow_the_electrode_rows(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        table = file["general/extracellular_ephys/electrodes"]
        table["bad"][...] = [False, True, False, False, False]
        file[f"{LFP}/electrodes"][...] = [4, 3, 2, 1, 0]

    with open_recording(spoil(change)) as recording:
        assert recording.channel_names == ("ch04", "ch03", "ch02", "ch01", "ch00")
        assert recording.bad_channels == (False, False, False, True, False)


def test_repeated_names_give_way_to_electrode_ids(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file["general/extracellular_ephys/electrodes/channel_name"][...] = "same"

    with open_recording(spoil(change)) as recording:
        assert recording.channel_names == ("0", "1", "2", "3", "4")


def test_timestamps_with_jitter_and_a_gap_become_a_uniform_grid(spoil: Spoil) -> None:
    rng = np.random.default_rng(0)
    stamps = 100 + np.arange(15000) / 250 + rng.uniform(-2e-4, 2e-4, 15000)
    stamps[6000:] += 1.0  # one second is missing

    with open_recording(spoil(lambda file: to_timestamps(file, LFP, stamps))) as recording:
        assert abs(recording.sampling_rate_hz - 250) < 0.01
        assert recording.n_samples == 15250
        assert abs(recording.start_s - 100) < 1e-3
        x = recording.read(5990, 6270)
        missing = np.flatnonzero(np.isnan(x).all(axis=1))
        np.testing.assert_array_equal(missing, np.arange(10, 260))
        assert np.isfinite(x[260:]).all()


def test_exact_timestamps_equal_a_rate(spoil: Spoil, recording_path: Path) -> None:
    path = spoil(lambda file: to_timestamps(file, LFP, np.arange(15000) / 250))
    with open_recording(path) as stamped, open_recording(recording_path) as rated:
        assert stamped.sampling_rate_hz == 250.0
        np.testing.assert_array_equal(stamped.read(0, 15000), rated.read(0, 15000))


def test_soft_links_inside_the_file_are_followed(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file.move(f"{HAND}/data", "scratch_data")
        file[f"{HAND}/data"] = h5py.SoftLink("/scratch_data")

    with open_recording(spoil(change)) as recording:
        assert recording.behavior("behavior/Position/hand").values.shape == (3000, 2)


def test_lfp_in_acquisition_and_other_inputs_by_path(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file.move(LFP, "acquisition/raw")
        del file["processing/ecephys/LFP"]

    path = spoil(change)
    with open_recording(path) as recording:
        assert recording.lfp_path == "acquisition/raw"
    with open_recording(path, "ecephys/threshold_crossings") as recording:
        assert recording.lfp_path == "processing/ecephys/threshold_crossings"
        assert recording.channel_names == ("0", "1", "2", "3", "4")
        assert recording.sampling_rate_hz == 50


def test_session_id_names_the_subject_and_is_safe_as_a_file_name(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        replace(file, "general/session_id", "../day 1")
        replace(file, "general/subject/subject_id", "rat/7")

    with open_recording(spoil(change)) as recording:
        assert recording.session_id == "rat-7_..-day-1"
        assert recording.subject == "rat/7"


def test_a_session_without_subject_is_its_own(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        del file["general/subject"], file["general/session_id"]

    with open_recording(spoil(change)) as recording:
        assert (recording.session_id, recording.subject) == ("spoiled", "spoiled")


def test_missing_behavior_is_nan(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        file[f"{HAND}/data"][5:9] = np.inf
        file[f"{HAND}/data"].attrs["conversion"] = 0.01

    with open_recording(spoil(change)) as recording:
        values = recording.behavior("behavior/Position/hand").values
        assert np.isnan(values[5:9]).all()
        assert np.isfinite(values[9:]).all()
        assert np.abs(values[9:]).max() < 0.002
