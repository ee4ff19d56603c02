"""Two probes of an NWB file are one recording; two versions of one probe are a choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import h5py
import numpy as np
import pytest
from nwb_cases import LFP, Spoil

from realm.recordings.open import open_recording

PROBES = ("processing/ecephys/LFP/ElectricalSeriesLFP", "processing/ecephys/LFP/second")


def two_series(
    rows: Sequence[Sequence[int]], cut: int = 0, rate: float = 250.0, start_s: float = 0.0
) -> Callable[[h5py.File], None]:
    """The LFP as two series with these rows of the electrode table; the second one differs."""

    def change(file: h5py.File) -> None:
        values = file[f"{LFP}/data"][...]
        file.copy(LFP, PROBES[1])
        for name, chosen in zip(PROBES, rows, strict=True):
            old = file[f"{name}/data"]
            kept, part = dict(old.attrs), values[:, list(chosen)]
            table = file[f"{name}/electrodes"].attrs["table"]
            del file[f"{name}/data"], file[f"{name}/electrodes"]
            stop = len(part) - (cut if name == PROBES[1] else 0)
            file.create_dataset(f"{name}/data", data=part[:stop]).attrs.update(kept)
            file[f"{name}/electrodes"] = np.array(chosen)
            file[f"{name}/electrodes"].attrs["table"] = table
        del file[f"{PROBES[1]}/starting_time"]
        file[f"{PROBES[1]}/starting_time"] = start_s
        file[f"{PROBES[1]}/starting_time"].attrs["rate"] = rate

    return change


def test_two_probes_are_one_recording(spoil: Spoil, recording_path: object) -> None:
    with open_recording(str(recording_path)) as whole:
        expected, names, n = whole.read(100, 300), whole.channel_names, whole.n_samples
        regions, bad = whole.regions, whole.bad_channels
    path = spoil(two_series([[0, 1, 2], [3, 4]], cut=7))
    with open_recording(path) as recording:
        assert recording.channel_names == names
        assert (recording.regions, recording.bad_channels) == (regions, bad)
        assert recording.n_samples == n - 7
        assert recording.lfp_path == " + ".join(PROBES)
        np.testing.assert_array_equal(recording.read(100, 300), expected)
        again = recording.lfp_path
    with open_recording(path, again) as recording:
        assert recording.n_channels == 5
    with open_recording(path, PROBES[1]) as recording:
        assert recording.channel_names == names[3:]


def test_series_of_the_same_electrodes_are_a_choice(spoil: Spoil) -> None:
    with pytest.raises(ValueError, match=r"expected one LFP series, found 2.*joined by ' \+ '"):
        open_recording(spoil(two_series([[0, 1, 2], [2, 3]])))


@pytest.mark.parametrize("clock", [{"rate": 500.0}, {"start_s": 0.5}, {"cut": 2000}])
def test_probes_on_two_clocks_are_refused(clock: dict[str, float], spoil: Spoil) -> None:
    with pytest.raises(ValueError, match="expected series with one clock"):
        open_recording(spoil(two_series([[0, 1, 2], [3, 4]], **clock)))  # type: ignore[arg-type]
