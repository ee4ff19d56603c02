"""A kind of feature as another package adds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realm import extensions

# What another package writes: an entry point and a class.
ENTRY_POINTS = "[realm.features]\nline_length = outside_features:LineLength\n"
CODE = '''
import numpy as np
from realm.signal import Feature

class LineLength(Feature):
    """Mean absolute step between samples, over a decaying window."""

    latency_ms = 0.0

    def __init__(self, name, band_hz, n_channels, sampling_rate_hz, window_ms=50.0):
        super().__init__(name, band_hz, n_channels, sampling_rate_hz)
        self.keep = np.array([np.exp(-1000 / (window_ms * sampling_rate_hz))])

    def initial_state(self):
        return np.zeros((2, self.n_channels))  # the sample before, the level

    def step(self, x, state):
        y, (before, level) = np.empty_like(x.samples), state
        for t, now in enumerate(x.samples):
            level = self.keep * level + (1 - self.keep) * np.abs(now - before)
            y[t], before = level, now
        return y, np.stack([before, level])

    def arrays(self):
        return {"keep": self.keep.copy()}

    def use(self, arrays):
        if not 0 < arrays["keep"][0] < 1:
            raise ValueError("expected a share that is kept")
        self.keep = arrays["keep"]
'''
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
