"""Sessions stand in the order of their recording."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from realm.benchmark.order import sessions_by_subject


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
