"""A feature: the mean absolute step between samples, over a decaying window."""

import numpy as np

from realm.signal import Feature


class LineLength(Feature):
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
