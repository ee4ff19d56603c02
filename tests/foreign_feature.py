"""A kind of feature as another package adds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realm import extensions

# What another package writes: an entry point and a class.
ENTRY_POINTS = "[realm.features]\nline_length = outside_features:LineLength\n"
CODE = (Path(__file__).parent / "outside_package" / "lab_extras" / "line_length.py").read_text()
FOREIGN: dict[str, dict[str, Any]] = {
    "roughness": {"kind": "line_length", "band_hz": (1.0, 100.0), "window_ms": 20.0}
}


def install(folder: Path) -> None:
    """Write the package as it lies in site-packages."""
    (folder / "outside_features.py").write_text(CODE)
    info = folder / "outside_features-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-features\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)


def remove_entry_points(folder: Path) -> None:
    """As if the package were not installed."""
    (folder / "outside_features-1.0.dist-info" / "entry_points.txt").write_text("")
    extensions.found.cache_clear()
