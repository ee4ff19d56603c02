"""Samples into bins of any width, also where the two do not divide.

Bin k takes exactly the samples n with t = n / rate < (k + 1) * bin, and no sample twice. The
comparison is made in whole numbers: at 24,414.0625 Hz ten milliseconds hold 244.140625 samples,
and a running sum of that in floating point would sooner or later put a sample in the wrong bin.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from realm.signal.stage import Banded, Counts, Features, Floats


class BinState(NamedTuple):
    """How far time has come and what the unfinished bin holds."""

    n_samples: int  # raw ones
    values: Floats  # (channels, bands), sum over the unfinished bin
    bad: Floats  # (channels,), number of replaced samples in it


class Binning:
    """Mean over each bin, and the share of its samples that were replaced.

    A bin is emitted with its last raw sample. Sums run in the order of time, whatever the chunks.

    Args:
        bin_ms: width of a bin.
        sampling_rate_hz: of the raw samples.
        factor: raw samples behind each sample that arrives; a bin takes the samples whose newest
            raw sample lies in it.

    Raises:
        ValueError: the bin is shorter than the period of the samples that arrive.
    """

    def __init__(
        self,
        bin_ms: float,
        sampling_rate_hz: float,
        n_channels: int,
        n_bands: int,
        factor: int = 1,
    ) -> None:
        self.samples_per_bin = (
            Fraction(str(float(bin_ms))) * Fraction(str(float(sampling_rate_hz))) / 1000
        )
        if self.samples_per_bin < factor:
            rate = sampling_rate_hz / factor
            raise ValueError(
                f"bin_ms: expected at least one sample period, {1000 / rate:g} ms at "
                f"{rate:g} Hz, got {bin_ms:g} ms; widen the bin"
            )
        self._ratio = self.samples_per_bin.as_integer_ratio()
        self.bin_ms = bin_ms
        self.latency_ms = bin_ms / 2
        self.factor = factor
        self._shape = (n_channels, n_bands)

    def describe(self) -> str:
        """One line for people."""
        samples = float(self.samples_per_bin / self.factor)
        return f"mean over bins of {self.bin_ms:g} ms ({samples:g} samples)"

    def n_bins(self, n_samples: int) -> int:
        """How many bins are complete after this many raw samples."""
        samples, bins = self._ratio
        return n_samples * bins // samples

    def end(self, n_bins: int) -> int:
        """How many raw samples the first `n_bins` bins hold."""
        samples, bins = self._ratio
        return -(-n_bins * samples // bins)

    def ends(self, start: int, stop: int) -> Counts:
        """Ends of the bins that raw samples `start` to `stop` complete, after that before them."""
        return np.array(self._ends(start, stop), dtype=np.int64)

    def _ends(self, start: int, stop: int) -> list[int]:
        return [self.end(k) for k in range(self.n_bins(start), self.n_bins(stop) + 1)]

    def cuts(self, x: Banded, start: int) -> tuple[Counts, Counts]:
        """The rows of the bins that a chunk completes, and how many samples each bin has.

        Args:
            x: the chunk.
            start: raw samples before it.

        Returns:
            The row where each bin starts; the last entry starts the unfinished bin. And the number
            of samples of each bin, those of earlier chunks included.
        """
        before = start // self.factor
        ends = [end // self.factor for end in self._ends(start, start + raw_samples(x))]
        rows = [max(end - before, 0) for end in ends]  # as lists: there are few, mostly
        lengths = [end - begin for begin, end in pairwise(ends)]
        return np.array(rows, dtype=np.int64), np.array(lengths, dtype=np.int64)

    def initial_state(self) -> BinState:
        """Before the first sample."""
        return BinState(0, np.zeros(self._shape), np.zeros(self._shape[0]))

    def step(self, x: Banded, state: BinState) -> tuple[Features, BinState]:
        """Bin one chunk."""
        cuts, samples = self.cuts(x, state.n_samples)
        cuts = np.append(cuts, len(x.values))  # the last is open
        values = _sums(x.values, cuts, state.values)
        bad = _sums(replaced(x), cuts, state.bad)
        features = Features(values[:-1] / samples[:, None, None], bad[:-1] / samples[:, None])
        stop = state.n_samples + raw_samples(x)
        return features, BinState(stop, values[-1].copy(), bad[-1].copy())


def raw_samples(x: Banded) -> int:
    """How many raw samples came with a chunk."""
    return len(x.values) if x.raw is None else x.raw.n_samples


def replaced(x: Banded) -> Floats:
    """What share of each sample of a chunk was replaced, (samples, channels)."""
    return x.bad.astype(np.float64) if x.raw is None else x.raw.replaced


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


def lookahead_bins(lookahead_ms: float, bin_ms: float) -> int:
    """Whole bins of lookahead.

    Raises:
        ValueError: the lookahead is not a multiple of the bin width.
    """
    bins = round(lookahead_ms / bin_ms)
    if not math.isclose(bins * bin_ms, lookahead_ms, abs_tol=1e-6):
        raise ValueError(
            f"lookahead_ms: expected a multiple of the bin width {bin_ms:g} ms, got "
            f"{lookahead_ms:g}; use {bins * bin_ms:g} or {(bins + 1) * bin_ms:g}"
        )
    return bins
