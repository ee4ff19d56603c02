"""Samples into bins of any width, also where the two do not divide.

Bin k takes exactly the samples n with t = n / rate < (k + 1) * bin, and no sample twice. The
comparison is made in whole numbers: at 24,414.0625 Hz ten milliseconds hold 244.140625 samples,
and a running sum of that in floating point would sooner or later put a sample in the wrong bin.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from realm.signal.stage import Banded, Counts, Features, Floats


class BinState(NamedTuple):
    """How far time has come and what the unfinished bin holds."""

    n_samples: int
    values: Floats  # (channels, bands), sum over the unfinished bin
    bad: Floats  # (channels,), number of replaced samples in it


class Binning:
    """Mean over each bin, and the share of its samples that were replaced.

    A bin is emitted with its last sample. Sums run in the order of time, whatever the chunks.

    Raises:
        ValueError: the bin is shorter than a sample period.
    """

    def __init__(
        self, bin_ms: float, sampling_rate_hz: float, n_channels: int, n_bands: int
    ) -> None:
        self.samples_per_bin = (
            Fraction(str(float(bin_ms))) * Fraction(str(float(sampling_rate_hz))) / 1000
        )
        if self.samples_per_bin < 1:
            raise ValueError(
                f"bin_ms: expected at least one sample period, {1000 / sampling_rate_hz:g} ms at "
                f"{sampling_rate_hz:g} Hz, got {bin_ms:g} ms; widen the bin"
            )
        self._ratio = self.samples_per_bin.as_integer_ratio()
        self.bin_ms = bin_ms
        self.latency_ms = bin_ms / 2
        self._shape = (n_channels, n_bands)

    def describe(self) -> str:
        """One line for people."""
        return f"mean over bins of {self.bin_ms:g} ms ({float(self.samples_per_bin):g} samples)"

    def n_bins(self, n_samples: int) -> int:
        """How many bins are complete after this many samples."""
        samples, bins = self._ratio
        return n_samples * bins // samples

    def end(self, n_bins: int) -> int:
        """How many samples the first `n_bins` bins hold."""
        samples, bins = self._ratio
        return -(-n_bins * samples // bins)

    def ends(self, start: int, stop: int) -> Counts:
        """Ends of the bins that samples from `start` to `stop` complete, after that before them."""
        first, last = self.n_bins(start), self.n_bins(stop)
        return np.array([self.end(k) for k in range(first, last + 1)], dtype=np.int64)

    def initial_state(self) -> BinState:
        """Before the first sample."""
        return BinState(0, np.zeros(self._shape), np.zeros(self._shape[0]))

    def step(self, x: Banded, state: BinState) -> tuple[Features, BinState]:
        """Bin one chunk."""
        start, stop = state.n_samples, state.n_samples + len(x.values)
        ends = self.ends(start, stop)
        cuts = np.concatenate([np.maximum(ends - start, 0), [stop - start]])  # the last is open
        values = _sums(x.values, cuts, state.values)
        bad = _sums(x.bad.astype(np.float64), cuts, state.bad)
        samples = np.diff(ends).astype(np.float64)
        features = Features(values[:-1] / samples[:, None, None], bad[:-1] / samples[:, None])
        return features, BinState(stop, values[-1].copy(), bad[-1].copy())


def _sums(x: Floats, cuts: Counts, carried: Floats) -> Floats:
    """Sums of x[cuts[i]:cuts[i + 1]] in the order of time; the first goes on from `carried`."""
    starts, lengths = cuts[:-1], np.diff(cuts)
    sums = np.zeros((len(starts), *x.shape[1:]))
    sums[0] = carried
    for offset in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > offset)
        sums[rows] += x[starts[rows] + offset]
    return sums


class LogPower:
    """Logarithm of the power columns, with a floor far below any signal.

    It comes after binning: the log of a mean power is steadier than the mean of logs.
    """

    latency_ms = 0.0

    def __init__(self, columns: list[int], floor: Floats) -> None:
        self.columns, self.floor = columns, floor  # floor (channels,), volts squared
        together = columns == list(range(columns[0], columns[-1] + 1))
        self._chosen = slice(columns[0], columns[-1] + 1) if together else columns

    def describe(self) -> str:
        """One line for people."""
        return "natural logarithm of power"

    def initial_state(self) -> tuple[()]:
        """There is none."""
        return ()

    def step(self, x: Features, state: tuple[()]) -> tuple[Features, tuple[()]]:
        """Take the logarithm of the power columns."""
        values = x.values.copy()
        power = np.maximum(values[..., self._chosen], 0.0)
        values[..., self._chosen] = np.log(power + self.floor[:, None])
        return Features(values, x.filled), state
