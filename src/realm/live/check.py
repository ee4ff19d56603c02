"""Whether a source fits the bundle: by what it declares, and by its signal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live.sources import UNITS, StreamInfo
from realm.signal.guard import GuardLimits
from realm.streaming import StreamingDecoder

FIRST_RATE_TOLERANCE = 0.02  # of the first, short, measurement
RATE_TOLERANCE = 3e-3  # drift that the timeline follows is less

MOST_S = 10.0  # of signal, by which the rate must have been measured

Floats = NDArray[np.float64]
NOMINAL_TOLERANCE = 1e-3  # of the rate: clocks differ by less, other rates by more
SHOWN = 6  # names in a message
LARGEST_RATIO = 30.0  # between a unit and the next lie 1000; days differ by less than this
LEAST_SHARE = 0.25  # of the usable channels that must vary for a verdict
NAMES = {
    6: "microvolts declared as volts",
    3: "a unit a thousand times smaller than the declared one",
    -3: "a unit a thousand times larger than the declared one",
    -6: "volts declared as microvolts",
}


class Fit(NamedTuple):
    """How a stream's samples become those of the bundle."""

    columns: NDArray[np.int64]  # (channels,) the stream's column of each channel of the bundle
    width: int  # columns of the stream
    volts: float | Floats  # in one unit of the stream, or of each channel (channels,)
    extra: tuple[str, ...]  # channels that the bundle does not use
    reordered: bool

    @property
    def unchanged(self) -> bool:
        """Whether the stream has exactly these channels in this order."""
        return not self.reordered and self.width == len(self.columns)

    def apply(self, samples: NDArray[Any], more: int = 0) -> NDArray[np.float64]:
        """Volts (samples, channels + more), in the order of the bundle, then columns of NaN.

        Raises:
            ValueError: the samples are not what the stream declared.
        """
        samples = np.asarray(samples)
        if samples.ndim != 2 or samples.shape[1] != self.width or samples.dtype.kind not in "fiu":
            raise ValueError(
                f"expected real numbers of shape (samples, {self.width}), got {samples.dtype} of "
                f"shape {samples.shape}; the source no longer sends what it declared"
            )
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            volts = np.full((len(samples), len(self.columns) + more), np.nan)
            chosen = samples if self.unchanged else samples[:, self.columns]
            np.multiply(chosen, self.volts, out=volts[:, : len(self.columns)], dtype=np.float64)
        return volts


def match(info: StreamInfo, names: tuple[str, ...], rate_hz: float) -> Fit:
    """How the stream fits a bundle with these channels and this rate.

    Channels are matched by name, in any order; others are not used.

    Raises:
        ValueError: a channel is missing or named twice, or unit or rate do not fit.
    """
    sent = info.channel_names
    twice = sorted({name for name in names if sent.count(name) > 1})
    if twice:
        raise ValueError(
            f"{info.name}: expected each channel once, got {_short(twice)} more than once; give "
            "the channels of the source different names"
        )
    missing = [name for name in names if name not in sent]
    if missing:
        others = [name for name in sent if name not in names]
        raise ValueError(
            f"{info.name}: expected the {len(names)} channels of the bundle, but {_short(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing"
            + (f" and {_short(others)} unknown" if others else "")
            + "; name the channels of the source as the recording did"
        )
    if not abs(info.sampling_rate_hz / rate_hz - 1) <= NOMINAL_TOLERANCE:
        raise ValueError(
            f"{info.name}: expected {rate_hz:g} samples per second, as in the bundle, got "
            f"{info.sampling_rate_hz:g}; set the source to the rate of the training"
        )
    columns = np.array([sent.index(name) for name in names], dtype=np.int64)
    extra = tuple(name for name in sent if name not in names)
    volts = _volts(info, columns)
    return Fit(columns, len(sent), volts, extra, bool((np.diff(columns) < 0).any()))


def _volts(info: StreamInfo, columns: NDArray[np.int64]) -> float | Floats:
    """What one unit of the needed channels is in volts; other channels may have any unit."""
    told = [info.units[at] for at in columns] if info.units else [info.unit]
    wrong = sorted({unit or "none" for unit in told if unit not in UNITS})
    if wrong:
        raise ValueError(
            f"{info.name}: expected samples in {', '.join(UNITS)}, got {', '.join(wrong)!r}; "
            "correct the unit that the source declares, or say it with --unit"
        )
    volts = [UNITS[unit] for unit in told]
    return volts[0] if len(set(volts)) == 1 else np.array(volts)


def _short(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")


class SignalCheck:
    """Checks the signal of one connection: its unit once, its rate all the time.

    Attributes:
        passed: unit and rate were found to be right.
        unit_ratio: how many times larger the signal is than in training; None until it is known.
    """

    def __init__(self, decoder: StreamingDecoder, check_s: float) -> None:
        chain, self._rate_hz = decoder.bundle.chain, decoder.sampling_rate_hz
        usable = np.array([name not in chain.dead_channels for name in chain.channel_names])
        self._units = UnitCheck(chain.limits, usable, max(1, round(check_s * self._rate_hz)))
        self._heard, self._most = 0, MOST_S * self._rate_hz
        self.passed = self._unit_known = self._rate_known = check_s == 0
        self.unit_ratio: float | None = None

    def add(self, volts: Floats, rates_hz: Floats) -> str:
        """Add samples (samples, channels) and rates (in Hz) that were measured meanwhile.

        Returns:
            Why the source must be refused; empty if there is no reason.
        """
        self._heard += len(volts)
        why = self._rate(rates_hz)
        if not self._unit_known and not why:
            verdict = self._units.add(volts)
            if verdict is not None:
                self._unit_known, self.unit_ratio, why = True, verdict.ratio, verdict.refused
        self.passed = self._unit_known and self._rate_known and not why
        return why

    def _rate(self, rates_hz: Floats) -> str:
        for rate_hz in rates_hz:
            tolerance = RATE_TOLERANCE if self._rate_known else FIRST_RATE_TOLERANCE
            if abs(rate_hz / self._rate_hz - 1) > tolerance:
                return (
                    f"expected {self._rate_hz:g} samples per second, as in the bundle, but their "
                    f"time stamps say {rate_hz:g}; correct the rate of the source"
                )
            self._rate_known = True
        if not self._rate_known and self._heard > self._most:
            return (
                f"expected {self._rate_hz:g} samples per second, as in the bundle, but their time "
                "stamps are nothing like it; correct the time stamps of the source"
            )
        return ""


class Verdict(NamedTuple):
    """How many times larger the signal is than in training, and whether that is refused."""

    ratio: float
    refused: str  # why; empty if the unit is right


class UnitCheck:
    """Collects the first samples of a connection and compares their size with the training.

    Args:
        limits: centre and scale of each channel, as the chain learned them.
        usable: (channels,) False for the channels that were dead in training.
        n_samples: to collect for a verdict.
    """

    def __init__(self, limits: GuardLimits, usable: NDArray[np.bool_], n_samples: int) -> None:
        self._scale, self._usable, self._n = limits.scale, usable, n_samples
        self._begin()

    def _begin(self) -> None:
        self._blocks: list[Floats] = []
        self._heard = 0

    def add(self, volts: Floats) -> Verdict | None:
        """Add samples (samples, channels), missing ones as NaN.

        Returns:
            A verdict once there are enough. If too few channels vary, there is no verdict and the
            collection starts again.
        """
        self._blocks.append(volts[: self._n])
        self._heard += len(volts)
        if self._heard < self._n:
            return None
        ratio = self._ratio(np.concatenate(self._blocks))
        self._begin()
        return None if ratio is None else _verdict(ratio)

    def _ratio(self, volts: Floats) -> float | None:
        """Median over the varying channels of the scale now to the scale in training."""
        ratios = []
        for values, scale in zip(volts.T[self._usable], self._scale[self._usable], strict=True):
            good = values[np.isfinite(values)]
            if good.size > self._n // 4:
                low, high = np.percentile(good, [25, 75])
                ratios.append((high - low) / 1.349 / scale)
        varying = np.array([ratio for ratio in ratios if ratio > 0])
        if varying.size < max(1.0, LEAST_SHARE * np.count_nonzero(self._usable)):
            return None
        return float(np.median(varying))


def _verdict(ratio: float) -> Verdict:
    if 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        return Verdict(ratio, "")
    power = 3 * round(np.log10(ratio) / 3)
    guess = NAMES.get(power, "another unit or gain")
    return Verdict(
        ratio,
        f"expected a signal about as large as in training, got one {ratio:.3g} times as large, "
        f"which looks like {guess}; correct the unit that the source declares",
    )
