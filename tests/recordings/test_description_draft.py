"""Arrays that nobody has described: they are listed, and the description to begin with works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from every_format import HAND, LFP_UV, NAMES, SAMPLES, WRITERS

from realm.recordings.open import open_recording

CONTAINERS = ["matlab5", "matlab73", "npz", "hdf5", "zarr"]


def drafted(path: Path) -> str:
    """The description that the error prints."""
    with pytest.raises(ValueError, match="To begin, write these lines") as caught:
        open_recording(path)
    return str(caught.value).partition("correct them:\n\n")[2]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_draft_reads_the_file(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    for description in tmp_path.glob("*.toml"):
        description.unlink()
    with pytest.raises(ValueError, match=r"lfp \(2000 x 3\)"):
        open_recording(path)
    (tmp_path / "recording.toml").write_text(drafted(path))
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read(5, 90) * 1e6, LFP_UV[5:90], rtol=1e-9)
        if kind != "matlab73":  # its behavior lies in another file
            np.testing.assert_allclose(recording.behavior("hand").values, HAND)


def test_names_timestamps_and_turned_arrays(tmp_path: Path) -> None:
    content = {
        "rec": {"lfp": LFP_UV.T, "Fs": 500.0, "labels": np.array(NAMES, dtype=object)},
        "xy": HAND.T,
        "t": np.arange(len(HAND)) / 50,
        "big": np.zeros((30, 9, 9)),
    }
    scipy.io.savemat(tmp_path / "a.mat", content)
    (tmp_path / "recording.toml").write_text(drafted(tmp_path / "a.mat"))
    with open_recording(tmp_path / "a.mat") as recording:
        assert recording.channel_names == tuple(NAMES)
        assert recording.n_samples == SAMPLES
        np.testing.assert_allclose(recording.behavior("hand").values, HAND)


def test_a_file_without_arrays(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"note": "nothing"})
    with pytest.raises(ValueError, match="no arrays of numbers"):
        open_recording(tmp_path / "a.mat")
