"""Sessions stand in the order of their recording, whatever format they are of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import edfio
import h5py
import numpy as np
import pybv
import pytest

from realm.benchmark.order import sessions_by_subject
from realm.recordings import find_recordings

LFP_UV = np.random.default_rng(0).normal(0, 50, (2000, 3))


def recording(folder: Path, session: str, subject: str, start: str | None) -> Path:
    path = folder / f"{session}.nwb"
    with h5py.File(path, "w") as file:
        file["general/session_id"], file["general/subject/subject_id"] = session, subject
        if start is not None:
            file["session_start_time"] = start
    return path


@pytest.mark.parametrize(
    ("starts", "order"),
    [
        (("2020-01-03T00:00:00+00:00", "2020-01-02", "2020-01-01T10:00:00Z"), (9, 10, 2)),
        (("2020-01-01", "2020-01-01", "2020-01-01"), (2, 9, 10)),
        ((None, "sometime", None), (2, 9, 10)),
    ],
)
def test_by_start_time_then_by_number(
    tmp_path: Path, starts: tuple[str | None, ...], order: tuple[int, ...]
) -> None:
    days = (2, 10, 9)
    starts = dict(zip(days, starts, strict=True))
    paths = [recording(tmp_path, f"rat_day{day}", "rat", starts[day]) for day in days]
    paths.append(recording(tmp_path, "mouse_a", "mouse", None))
    assert sessions_by_subject(paths) == {
        "mouse": ["mouse_a"],
        "rat": [f"rat_day{day}" for day in order],
    }


def write_edf(folder: Path, session: str, start: datetime) -> None:
    signals = [
        edfio.EdfSignal(LFP_UV[:, i], 500, label=f"A{i}", physical_dimension="uV") for i in range(3)
    ]
    about = edfio.Recording(startdate=start.date())
    edfio.Edf(signals, recording=about, starttime=start.time()).write(folder / f"{session}.edf")


def write_brainvision(folder: Path, session: str, start: datetime) -> None:
    pybv.write_brainvision(
        data=LFP_UV.T * 1e-6,
        sfreq=500,
        ch_names=["A0", "A1", "A2"],
        fname_base=session,
        folder_out=folder,
        meas_date=start,
    )


@pytest.mark.parametrize("write", [write_edf, write_brainvision])
def test_start_times_of_other_formats(
    tmp_path: Path, write: Callable[[Path, str, datetime], None]
) -> None:
    (tmp_path / "recording.toml").write_text('subject = "rat"')
    first = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
    for hours, session in enumerate(("c", "a", "b")):
        write(tmp_path, session, first + timedelta(hours=hours))
    assert sessions_by_subject(find_recordings(tmp_path)) == {"rat": ["rat_c", "rat_a", "rat_b"]}


def test_arrays_state_no_time_and_stand_by_number(tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text(
        'subject = "rat"\nsamples = { array = "lfp", unit = "uV", rate_hz = 500 }\n'
    )
    for day in (10, 9, 2):
        np.savez(tmp_path / f"day{day}.npz", lfp=LFP_UV)
    ordered = sessions_by_subject(find_recordings(tmp_path))
    assert ordered == {"rat": ["rat_day2", "rat_day9", "rat_day10"]}
