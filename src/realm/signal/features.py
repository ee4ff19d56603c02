"""The features of a recording: their kinds, each a class, and the stage that runs them together.

Another kind is a class like `BandPower` and a line in `KINDS`, or an entry point of a package:

    [project.entry-points."realm.features"]
    line_length = "my_package.features:LineLength"

and a recipe chooses it by that name:

    [signal.features.roughness]           # the name of the feature
    kind = "line_length"
    band_hz = [5, 100]                    # the frequencies that it looks at
    window_ms = 50                        # its own settings, arguments of the class
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from realm import extensions
from realm.signal.filters import Filtered, Sections, bandpass, highpass, in_series, lowpass
from realm.signal.stage import Banded, Feature, Floats, Guarded

SLOW_ORDER = 4
HIGHPASS_ORDER = 2
BAND_ORDER = 3


class SlowPotential(Filtered, Feature):
    """The slow potential as an amplitude: Butterworth low-pass, and high-pass if low > 0."""

    def __init__(
        self, name: str, band_hz: tuple[float, float], n_channels: int, sampling_rate_hz: float
    ) -> None:
        Feature.__init__(self, name, band_hz, n_channels, sampling_rate_hz)
        (low, high), rate_hz = band_hz, sampling_rate_hz
        parts, order = [lowpass(SLOW_ORDER, high, rate_hz)], SLOW_ORDER
        if low > 0:
            parts, order = [*parts, highpass(HIGHPASS_ORDER, low, rate_hz)], order + HIGHPASS_ORDER
        transfer = in_series(*parts)
        self._sections = Sections(order // 2, transfer, self._designed, n_channels, rate_hz)

    def _designed(self) -> Any:
        from scipy.signal import butter

        (low, high), rate_hz = self.band_hz, self._sections.sampling_rate_hz
        sos = butter(SLOW_ORDER, high, "lowpass", fs=rate_hz, output="sos")
        if low > 0:
            slow = butter(HIGHPASS_ORDER, low, "highpass", fs=rate_hz, output="sos")
            sos = np.vstack([sos, slow])
        return sos

    @property
    def latency_ms(self) -> float:
        """Its group delay in the middle of the band, on a scale of octaves."""
        low, high = self.band_hz
        return self._sections.delay_ms(float(np.sqrt(max(low, high / 100) * high)))

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._sections}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: amplitude {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    def initial_state(self) -> Floats:
        """At rest: two rows for each section."""
        return np.zeros((2 * self._sections.count, self.n_channels))

    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """(samples, channels) in, volts out."""
        y, after = self._sections.step(x.samples, state.reshape(-1, 2, self.n_channels))
        return y, after.reshape(-1, self.n_channels)


class BandPower(Filtered, Feature):
    """Smoothed power of one band: Butterworth band-pass, square, one-pole low-pass.

    The smoothing stands still while a channel is bad, so that a gap is no drop in power.
    """

    logarithmic = True

    def __init__(
        self,
        name: str,
        band_hz: tuple[float, float],
        smoothing_ms: float,
        n_channels: int,
        sampling_rate_hz: float,
    ) -> None:
        Feature.__init__(self, name, band_hz, n_channels, sampling_rate_hz)
        self.smoothing_ms = smoothing_ms
        samples = smoothing_ms * sampling_rate_hz / 1000
        self._keep = keep = float(np.exp(-1 / samples)) if samples > 0 else 0.0
        self._band = Sections(
            BAND_ORDER,
            bandpass(BAND_ORDER, band_hz, sampling_rate_hz),
            self._band_pass,
            n_channels,
            sampling_rate_hz,
        )
        self._smooth = Sections(
            1,
            lambda delay: (1 - keep) / (1 - keep * delay),
            self._one_pole,
            n_channels,
            sampling_rate_hz,
        )

    def _band_pass(self) -> Any:
        from scipy.signal import butter

        rate_hz = self._band.sampling_rate_hz
        return butter(BAND_ORDER, self.band_hz, "bandpass", fs=rate_hz, output="sos")

    def _one_pole(self) -> Any:
        return np.array([[1 - self._keep, 0, 0, 1, -self._keep, 0]])

    @property
    def latency_ms(self) -> float:
        """Group delay of the band-pass in its middle, and the smoothing's time constant."""
        low, high = self.band_hz
        return self._band.delay_ms(float(np.sqrt(low * high))) + self.smoothing_ms

    @property
    def sections(self) -> dict[str, Sections]:
        """Its filters by name."""
        return {"band": self._band, "smoothing": self._smooth}

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: log power {self.band_hz[0]:g} to {self.band_hz[1]:g} Hz"

    def initial_state(self) -> Floats:
        """At rest: two rows for each section, and the latest smoothed power."""
        return np.zeros((2 * (self._band.count + self._smooth.count) + 1, self.n_channels))

    def step(self, x: Guarded, state: Floats) -> tuple[Floats, Floats]:
        """(samples, channels) in, volts squared out."""
        if not len(x.samples):
            return x.samples, state
        channels, latest = self.n_channels, state[-1]
        sections = state[:-1].reshape(-1, 2, channels)
        band, after = self._band.step(x.samples, sections[:-1])
        power = np.square(band)
        level, smooth = self._smooth.step(power, sections[-1:])
        for channel in np.flatnonzero(x.bad.any(axis=0)):
            one, good = [channel], ~x.bad[:, channel]
            kept, smooth[..., one] = self._smooth.step(power[good][:, one], sections[-1:, :, one])
            latest_good = np.cumsum(good)  # counted from 1, the level before this chunk is 0
            level[:, channel] = np.append(latest[channel], kept)[latest_good]
        rows = np.concatenate([after, smooth]).reshape(-1, channels)
        return level, np.concatenate([rows, level[-1:]])


class Bands:
    """All bands side by side; its latency is that of the slowest."""

    def __init__(self, parts: tuple[Feature, ...]) -> None:
        self.parts = parts
        ends = np.cumsum([len(part.initial_state()) for part in parts]).tolist()
        self.rows = [slice(*pair) for pair in pairwise([0, *ends])]  # of the state of each part

    @property
    def latency_ms(self) -> float:
        """That of the slowest."""
        return max(part.latency_ms for part in self.parts)

    def describe(self) -> str:
        """One line for people."""
        return "; ".join(f"{part.describe()} ({part.latency_ms:.0f} ms)" for part in self.parts)

    def initial_state(self) -> Floats:
        """All at rest: (rows, channels), those of the first band first."""
        return np.concatenate([part.initial_state() for part in self.parts])

    def step(self, x: Guarded, state: Floats) -> tuple[Banded, Floats]:
        """Filter one chunk into (samples, channels, bands)."""
        values = np.empty((*x.samples.shape, len(self.parts)))
        after: list[Floats] = []
        for column, (part, rows) in enumerate(zip(self.parts, self.rows, strict=True)):
            values[..., column], new = part.step(x, state[rows])
            after.append(new)
        return Banded(values, x.bad, x.raw), np.concatenate(after)


# Other packages add kinds by entry points of the group `realm.features`.
KINDS: dict[str, type[Feature]] = {"slow_potential": SlowPotential, "band_power": BandPower}


def feature_kind(kind: str) -> Callable[..., Feature]:
    """The class of a kind of feature.

    Raises:
        ValueError: no such kind is installed; those that are, are listed.
    """
    if kind in KINDS:
        return KINDS[kind]
    try:
        found: Callable[..., Feature] = extensions.load("features", kind)
    except KeyError:
        known = ", ".join(extensions.names("features", KINDS))
        raise ValueError(
            f"expected a kind of feature that is installed ({known}), got {kind!r}; install the "
            "package that adds it, or choose another kind"
        ) from None
    return found


def make_feature(
    name: str, settings: Mapping[str, Any], n_channels: int, sampling_rate_hz: float
) -> Feature:
    """The feature that the settings describe: its `kind`, its `band_hz`, and what the kind takes.

    Raises:
        ValueError: the kind is not installed, or does not take these settings.
    """
    own = {key: value for key, value in settings.items() if key not in ("kind", "band_hz")}
    given: dict[str, Any] = {
        "name": name,
        "band_hz": tuple(settings["band_hz"]),
        "n_channels": n_channels,
        "sampling_rate_hz": sampling_rate_hz,
    }
    try:
        maker = feature_kind(settings["kind"])
        valid = [key for key in inspect.signature(maker).parameters if key not in given]
        unknown = sorted(set(own) - set(valid))
        if unknown:
            raise ValueError(
                f"unknown key {', '.join(map(repr, unknown))}; kind {settings['kind']!r} takes "
                f"{', '.join(valid) or 'none of its own'}"
            )
        made = maker(**given, **own)
        rows = made.initial_state()
        if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != n_channels:
            raise ValueError(
                f"expected a state of float64 (rows, {n_channels} channels), got {rows.dtype} of "
                f"shape {rows.shape}; correct the class of kind {settings['kind']!r}"
            )
    except Exception as error:
        raise ValueError(f"signal.features.{name}: {error}") from error
    return made
