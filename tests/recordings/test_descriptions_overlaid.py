"""A description of one file lies over that of its folder; offsets may stand in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from every_format import ARRAYS, HAND, NAMES

from realm.recordings.open import find_recordings, open_recording

FOLDER = """
subject = "m1"
files = "day?.npz"
samples = { array = "lfp", axes = ["time", "channel"], unit = "uV", rate = "fs" }
channels = { regions = ["M1", "M1", "S1"], leave_out = ["2"] }
behavior.hand = { array = "hand", axes = ["time", "channel"], unit = "cm", rate_hz = 50 }
"""


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for name in ("day1", "day2", "other"):
        np.savez(tmp_path / f"{name}.npz", **ARRAYS, t0=np.array([[2500.0]]), labels=NAMES)
    (tmp_path / "recording.toml").write_text(FOLDER)
    return tmp_path


def test_a_description_of_one_file_lies_over_that_of_its_folder(days: Path) -> None:
    (days / "day2.toml").write_text("""
session = "second"
channels.leave_out = []
channels.bad = ["1"]
behavior.hand.offset_s = -0.5
behavior.speed = { array = "hand", axes = ["time", "channel"], rate_hz = 50, names = ["a", "b"] }
""")
    with open_recording(days / "day1.npz") as recording:
        assert recording.channel_names == ("0", "1")
        assert recording.behavior("hand").timestamps_s[0] == 0
    with open_recording(days / "day2.npz") as recording:
        assert (recording.session_id, recording.subject) == ("m1_second", "m1")
        assert recording.channel_names == ("0", "1", "2")
        assert recording.regions == ("M1", "M1", "S1")
        assert recording.bad_channels == (False, True, False)
        hand = recording.behavior("hand")
        assert (hand.timestamps_s[0], hand.unit) == (-0.5, "cm")
        assert recording.behavior("speed").names == ("a", "b")
        assert {f.name for f in recording.files} == {"day2.npz", "day2.toml", "recording.toml"}


def test_channels_take_the_place_of_an_array(days: Path) -> None:
    (days / "day2.toml").write_text('behavior.hand = { channels = ["1"], unit = "V" }')
    with open_recording(days / "day2.npz") as recording:
        assert recording.behavior("hand").names == ("1",)
        assert recording.channel_names == ("0",)


def test_a_file_with_a_description_of_its_own_is_a_recording(days: Path) -> None:
    assert [path.stem for path in find_recordings(days)] == ["day1", "day2"]
    (days / "other.toml").write_text('session = "third"')
    assert [path.stem for path in find_recordings(days)] == ["day1", "day2", "other"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recording.toml", FOLDER + 'colour = "red"\n'),
        ("day2.toml", 'colour = "red"'),
        ("day2.toml", "behavior.hand.offset_s = now"),
    ],
)
def test_a_wrong_key_names_its_file(name: str, text: str, days: Path) -> None:
    (days / "day2.toml").write_text('session = "second"')
    (days / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: expected"):
        open_recording(days / "day2.npz")


def test_an_offset_that_stands_in_the_file(days: Path) -> None:
    (days / "day2.toml").write_text("""
behavior.hand = { offset = "t0", time_unit = "ms", offset_s = 0.25 }
""")
    with open_recording(days / "day2.npz") as recording:
        hand = recording.behavior("hand")
    np.testing.assert_allclose(hand.timestamps_s, 2.75 + np.arange(len(HAND)) / 50)
    (days / "day2.toml").write_text('behavior.hand.offset = "fss"')
    with (
        open_recording(days / "day2.npz") as recording,
        pytest.raises(ValueError, match=r"day2\.npz: expected numbers called 'fss'"),
    ):
        recording.behavior("hand")
    (days / "day2.toml").write_text('behavior.hand.offset = "hand"')
    with (
        open_recording(days / "day2.npz") as recording,
        pytest.raises(ValueError, match=r"day2\.npz: expected one number at 'hand'"),
    ):
        recording.behavior("hand")
