"""Where the real recordings are, for the tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def real_data(name: str) -> Path:
    """A folder of real recordings, or a skip that says what is missing."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"the recordings in {folder} are not here")
    return folder
