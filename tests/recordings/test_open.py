"""Opening: when a recording began, errors from below, and the way it was opened before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import edfio
import h5py
import numpy as np
import pytest
from acquisition_files import (
    write_axona,
    write_blackrock,
    write_open_ephys,
    write_plexon,
    write_spike2,
)
from nwb_cases import Spoil

from realm.recordings import Recording, identify, open_recording
from realm.recordings.fault import RecordingFaultError, clear_errors

COUNTS = np.random.default_rng(0).integers(-100, 100, (3000, 2)).astype(np.int16)


def blackrock(folder: Path) -> Path:
    return write_blackrock(folder / "a.ns2", [(0, COUNTS)])


def plexon(folder: Path) -> Path:
    return write_plexon(folder / "a.plx", [(0, COUNTS)])


def spike2(folder: Path) -> Path:
    return write_spike2(folder / "a.smr", [(0, COUNTS)], [b"mV", b"mV"])


def open_ephys(folder: Path) -> Path:
    return write_open_ephys(folder / "2026-01-02_10-00-00", COUNTS, np.arange(3000), 1000.0)


def open_ephys_renamed(folder: Path) -> Path:
    return write_open_ephys(folder / "rat 1", COUNTS, np.arange(3000), 1000.0)


def axona(folder: Path) -> Path:
    position = np.full((100, 2), 50.0)
    return write_axona(folder / "a.set", COUNTS.astype(np.int8), [1000, 1000], position)


def edf(folder: Path) -> Path:
    signals = [edfio.EdfSignal(COUNTS[:, 0], 1000, label="A", physical_dimension="uV")]
    about = edfio.Recording(startdate=datetime(2026, 1, 2).date())
    at = datetime(2026, 1, 2, 10).time()
    edfio.Edf(signals, recording=about, starttime=at).write(folder / "a.edf")
    return folder / "a.edf"


def edf_without_date(folder: Path) -> Path:
    signals = [edfio.EdfSignal(COUNTS[:, 0], 1000, label="A", physical_dimension="uV")]
    file = edfio.Edf(signals)
    file.anonymize()
    file.write(folder / "a.edf")
    return folder / "a.edf"


@pytest.mark.parametrize(
    ("write", "day"),
    [
        (blackrock, 2),
        (plexon, 2),
        (spike2, 4),
        (open_ephys, 2),
        (open_ephys_renamed, None),
        (axona, 2),
        (edf, 2),
        (edf_without_date, None),
    ],
)
def test_when_it_began(write: Callable[[Path], Path], day: int | None, tmp_path: Path) -> None:
    path = write(tmp_path)
    began = None if day is None else datetime(2026, 1, day, 10)
    assert identify(path).started_at == began
    with open_recording(path) as recording:
        assert recording.started_at == began


def test_when_an_nwb_file_began(spoil: Spoil) -> None:
    def change(file: h5py.File) -> None:
        del file["session_start_time"]
        file["session_start_time"] = "2026-01-02T10:00:00+00:00"

    with open_recording(spoil(change)) as recording:
        assert recording.started_at == datetime(2026, 1, 2, 10, tzinfo=UTC)


def test_recording_open_still_works_and_warns(recording_path: Path) -> None:
    with (
        pytest.warns(DeprecationWarning, match=r"open_recording"),
        Recording.open(recording_path) as recording,
    ):
        assert recording.session_id == "simA_day0"


@pytest.mark.parametrize(
    "error", [KeyError("x"), IndexError("x"), AssertionError(), OSError("x"), MemoryError()]
)
def test_errors_from_below_name_the_file(error: Exception) -> None:
    with (
        pytest.raises(ValueError, match=r"a\.edf: expected readable"),
        clear_errors(Path("a.edf"), "EDF data"),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("b.tsv: expected a table, got none; write it"),
        RecordingFaultError("gap", "a.edf: expected no gaps"),
        PermissionError(13, "Permission denied", "b.tsv"),
        ImportError("no neo"),
    ],
)
def test_clear_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, clear_errors(Path("a.edf"), "EDF data"):
        raise error
    assert caught.value is error


def test_an_error_without_the_name_of_a_file_gets_one() -> None:
    with (
        pytest.raises(ValueError, match=r"^a\.mat: expected 2 names, got 3; correct them$"),
        clear_errors(Path("a.mat"), "arrays"),
    ):
        raise ValueError("expected 2 names, got 3; correct them")


def test_samples_that_cannot_be_read_name_the_file(recording_path: Path) -> None:
    recording = open_recording(recording_path)
    recording.close()
    with pytest.raises(ValueError, match=r"a\.nwb: expected readable samples 0 to 10"):
        recording.read(0, 10)
