"""The whole way from raw samples to features, as one causal part."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realm.compiling import load_compiled
from realm.signal import storage
from realm.signal.binning import Binning, LogPower
from realm.signal.checks import (
    check_statistics,
    checked_chunk,
    checked_flags,
    checked_names,
    checked_rate,
)
from realm.signal.config import SLOW_NAME, SignalConfig, resolve_bands
from realm.signal.decimation import Decimation, decimation_factor
from realm.signal.features import Bands, make_feature
from realm.signal.filters import LineNotch
from realm.signal.guard import Guard, GuardLimits, fit_limits
from realm.signal.normalize import NormalizationFit, NormalizationStatistics, Normalize
from realm.signal.reference import FEWEST, CommonAverage
from realm.signal.stage import Feature, Features, Floats, Stage, Step

BLOCK_VALUES = 1 << 18  # samples times channels that are worked on at once: bounded memory
NOTCH_REACH = 2.0  # harmonics up to this many times the highest band edge are removed


class ChainState(NamedTuple):
    """The states of all stages, in their order."""

    stages: tuple[Any, ...]


class SignalChain:
    """Guard, decimation, reference, notch, bands, bins and normalization of a recording's channels.

    A chain never changes: fitting gives a new one. Its state belongs to the caller.

    Args:
        config: what to compute.
        sampling_rate_hz: of the raw samples.
        channel_names: one for each column of the chunks.
        bad_channels: True for each channel that is known to be bad; it is masked.
        limits, normalization: what `fit_guard` and `fit_normalization` found.

    Raises:
        ValueError: rate, names, bands or bin width do not fit together.
    """

    def __init__(
        self,
        config: SignalConfig,
        sampling_rate_hz: float,
        channel_names: Sequence[str],
        bad_channels: Sequence[bool] | NDArray[np.bool_] | None = None,
        *,
        limits: GuardLimits | None = None,
        normalization: NormalizationStatistics | None = None,
    ) -> None:
        self.config = config
        self._plain = False
        self.sampling_rate_hz = checked_rate(sampling_rate_hz)
        self.channel_names = checked_names(channel_names)
        self.bad_channels = checked_flags(bad_channels, self.channel_names)
        self.limits = limits or GuardLimits.unfitted(self.n_channels)
        self.normalization = normalization
        self.factor = decimation_factor(config, self.sampling_rate_hz)
        self.filter_rate_hz = self.sampling_rate_hz / self.factor  # of all stages after the guard
        self.bands_hz = resolve_bands(config, self.filter_rate_hz)
        self.stages: tuple[Stage, ...] = tuple(self._build())

    def _build(self) -> list[Stage]:
        config, channels = self.config, self.n_channels
        raw, rate = self.sampling_rate_hz, self.filter_rate_hz
        dead = np.array([name in self.dead_channels for name in self.channel_names])
        highest = max(high for _, high in self.bands_hz.values())
        self._binning = Binning(config.bin_ms, raw, channels, self.n_bands, self.factor)
        stages: list[Stage] = [Guard(config, raw, self.limits, dead)]
        if self.factor > 1:
            stages.append(Decimation(self.factor, highest, channels, raw))
        if config.reference == "common_average" and (~dead).sum() >= FEWEST:
            stages.append(CommonAverage(channels, rate))
        if config.line_hz is not None:
            stages.append(LineNotch(config.line_hz, NOTCH_REACH * highest, channels, rate))
        parts = tuple(self._feature(name, band) for name, band in self.bands_hz.items())
        self.logarithmic = tuple(part.logarithmic for part in parts)
        power = [column for column, taken in enumerate(self.logarithmic) if taken]
        stages += [Bands(parts), self._binning]
        if power:
            stages.append(LogPower(power, self.limits.power_floor()))
        if self.normalization is not None:
            stages.append(Normalize(self.normalization))
        return stages

    def _feature(self, name: str, band_hz: tuple[float, float]) -> Feature:
        settings: dict[str, Any] = {"kind": "slow_potential" if name == SLOW_NAME else "band_power"}
        settings |= self.config.features.get(name, {})
        if settings["kind"] == "band_power":
            settings = {"smoothing_ms": self.config.smoothing_ms} | settings
        settings["band_hz"] = band_hz
        return make_feature(name, settings, self.n_channels, self.filter_rate_hz)

    @property
    def engine(self) -> str:
        """What computes it: "numba", or "numpy" where numba cannot be used.

        Asking for it loads the compiled code, as the first step does.
        """
        return self._steps[0]

    def plain(self) -> SignalChain:
        """The same chain, computed by the definition of each stage, in numpy and scipy.

        It gives the same features to 1e-10 and takes and gives the same states.
        """
        chain = copy.copy(self)  # with the same filters
        chain._plain = True
        chain.__dict__.pop("_steps", None)
        return chain

    @cached_property
    def _steps(self) -> tuple[str, tuple[Step, ...]]:
        """What computes the stages, and their steps, with the coefficients of the first use."""
        fast = None if self._plain else load_compiled("realm.signal.compiled", "compiled_step")
        if fast is None:
            return "numpy", tuple(stage.step for stage in self.stages)
        return "numba", tuple(fast(stage) for stage in self.stages)

    @property
    def n_channels(self) -> int:
        """Columns of a raw chunk."""
        return len(self.channel_names)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the features, "slow" first."""
        return tuple(self.bands_hz)

    @property
    def n_bands(self) -> int:
        """Features per channel."""
        return len(self.bands_hz)

    @property
    def bin_ms(self) -> float:
        """Width of a bin."""
        return self.config.bin_ms

    @property
    def latency_ms(self) -> float:
        """Sum of the latencies of the stages, in ms."""
        return float(sum(stage.latency_ms for stage in self.stages))

    @property
    def dead_channels(self) -> dict[str, str]:
        """Channels that are masked from the start, each with the reason."""
        listed = {
            name: "marked bad in the recording"
            for name, bad in zip(self.channel_names, self.bad_channels, strict=True)
            if bad
        }
        found = {self.channel_names[c]: reason for c, reason in self.limits.dead.items()}
        return {**found, **listed}

    def masked_channels(self, state: ChainState) -> tuple[str, ...]:
        """Channels that are masked at this moment of a stream, the dead ones among them."""
        masked = state.stages[0].masked
        return tuple(name for name, m in zip(self.channel_names, masked, strict=True) if m)

    def describe(self) -> list[tuple[str, float, str]]:
        """Every stage as (name, latency in ms, text), then what was left out or masked."""
        rows = [(type(s).__name__, float(s.latency_ms), s.describe()) for s in self.stages]
        present = {type(stage) for stage in self.stages}
        if self.config.reference == "common_average" and CommonAverage not in present:
            usable = self.n_channels - len(self.dead_channels)
            text = f"left out: {usable} usable channel(s), a common average needs {FEWEST}"
            rows.insert(1 + (self.factor > 1), ("CommonAverage", 0.0, text))
        for name, reason in self.dead_channels.items():
            rows.append(("masked", 0.0, f"channel {name}: {reason}"))
        return rows

    def n_bins(self, n_samples: int) -> int:
        """How many bins are complete after this many samples."""
        return self._binning.n_bins(n_samples)

    def initial_state(self) -> ChainState:
        """The state before the first sample."""
        return ChainState(tuple(stage.initial_state() for stage in self.stages))

    def step(self, chunk: ArrayLike, state: ChainState) -> tuple[Features, ChainState]:
        """Features of the bins that one chunk of raw samples (samples, channels), volts, completes.

        They are normalized if the chain has statistics. Memory for intermediate results is
        bounded however long the chunk is.

        Raises:
            ValueError: the chunk does not have this chain's channels.
        """
        samples = checked_chunk(chunk, self.channel_names)
        block = max(1, BLOCK_VALUES // self.n_channels)
        parts: list[Features] = []
        for start in range(0, max(len(samples), 1), block):
            features, state = self._step(samples[start : start + block], state)
            parts.append(features)
        if len(parts) == 1:
            return parts[0], state
        values = np.concatenate([part.values for part in parts])
        return Features(values, np.concatenate([part.filled for part in parts])), state

    def _step(self, samples: NDArray[Any], state: ChainState) -> tuple[Features, ChainState]:
        x: Any = np.ascontiguousarray(samples, dtype=np.float64)
        after = []
        for step, before in zip(self._steps[1], state.stages, strict=True):
            x, new = step(x, before)
            after.append(new)
        return x, ChainState(tuple(after))

    def forward(self, samples: ArrayLike) -> Features:
        """Features of a whole recording (samples, channels)."""
        return self.step(samples, self.initial_state())[0]

    def fit_guard(self, samples: ArrayLike) -> SignalChain:
        """A chain that knows what is ordinary for each channel and which ones are dead.

        Args:
            samples: raw samples (samples, channels) of training time; blocks from all over it,
                joined, are enough. Statistics of normalization do not survive, fit them after.
        """
        limits = fit_limits(
            np.asarray(checked_chunk(samples, self.channel_names), dtype=np.float64),
            self.config,
            self.sampling_rate_hz,
        )
        return self._with(limits, None)

    def fit_normalization(self, features: Features) -> SignalChain:
        """A chain that normalizes with the statistics of these raw features of training time."""
        fit = NormalizationFit(self.n_channels, self.n_bands)
        return self.with_normalization(fit.update(*features).result())

    def with_normalization(self, statistics: NormalizationStatistics | None) -> SignalChain:
        """A chain that normalizes with these statistics; None for one that does not."""
        if statistics is not None:
            check_statistics(statistics, (self.n_channels, self.n_bands))
        return self._with(self.limits, statistics)

    def normalize(self, features: Features) -> Features:
        """Normalize raw features that this chain without statistics gave earlier."""
        if self.normalization is None:
            raise ValueError(
                "normalize: expected a chain with statistics, this one has none; "
                "call fit_normalization or with_normalization first"
            )
        return Normalize(self.normalization).step(features, ())[0]

    def save_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything that makes this chain, as JSON-able values and named arrays."""
        return storage.save(
            self.config,
            self.sampling_rate_hz,
            self.channel_names,
            self.bad_channels,
            self.limits,
            self.normalization,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles hold what `save_state` says and the coefficients: filters are functions."""
        return _restored, (*self.save_state(), self.coefficients(), self._plain)

    def __copy__(self) -> SignalChain:
        """The same chain with the same filters."""
        chain = object.__new__(SignalChain)
        chain.__dict__.update(self.__dict__)
        return chain

    def coefficients(self) -> dict[str, Floats]:
        """The arrays of every filter and feature, by name: what a bundle carries."""
        return storage.coefficients(self.stages)

    def with_coefficients(self, stored: Mapping[str, NDArray[Any]]) -> SignalChain:
        """The same chain with these arrays, to the bit.

        Raises:
            ValueError: they are not the coefficients of this chain's filters and features.
        """
        fresh = self._with(self.limits, self.normalization)  # its filters belong to nobody else
        storage.use_coefficients(fresh.stages, stored)
        return fresh

    @classmethod
    def load_state(
        cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> SignalChain:
        """The chain that `save_state` wrote, equal to the last bit.

        Raises:
            ValueError: something is missing, unknown or of the wrong shape.
        """
        stored = storage.load(values, arrays)
        chain = cls(
            stored.config,
            stored.sampling_rate_hz,
            stored.channel_names,
            stored.bad_channels,
            limits=stored.limits,
        )
        return chain.with_normalization(stored.normalization)

    def _with(
        self, limits: GuardLimits, normalization: NormalizationStatistics | None
    ) -> SignalChain:
        chain = SignalChain(
            self.config,
            self.sampling_rate_hz,
            self.channel_names,
            self.bad_channels,
            limits=limits,
            normalization=normalization,
        )
        chain._plain = self._plain
        return chain


def _restored(
    values: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    coefficients: dict[str, Floats],
    plain: bool,
) -> SignalChain:
    """The chain that was pickled, to the bit."""
    chain = SignalChain.load_state(values, arrays).with_coefficients(coefficients)
    return chain.plain() if plain else chain
