"""From a broadband recording to the rate of field potentials, causally and without aliases.

The low-pass is a symmetric FIR filter, of which only every `factor`-th output is computed. It
delays all frequencies alike, by half its length, and is as short as the bands allow: what it lets
fold back falls above the highest of them. Bands near half of the new rate make it long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realm.signal.config import SignalConfig, highest_hz
from realm.signal.stage import Counts, Floats, Guarded, Raw

BROADBAND_HZ = 5000.0  # faster recordings are decimated unless the settings say otherwise
LFP_HZ = 1000.0  # to about this rate, or
ROOM = 3.0  # to this many times the highest band edge, whichever is more
ATTENUATION_DB = 70.0  # at least, of what folds into a band; the bands are flat to 0.01 dB
DESIGN_DB = ATTENUATION_DB + 3  # the formula for the length falls short by up to so much
DIGITS = 2.0**32  # taps are whole multiples of its inverse, hence the same on every machine


def decimation_factor(config: SignalConfig, sampling_rate_hz: float) -> int:
    """How many raw samples make one sample of the filters; 1 where nothing is decimated.

    The factor is the whole number that comes closest to the rate that was asked for.
    """
    wanted = config.decimate_to_hz
    if wanted is None:
        if sampling_rate_hz <= BROADBAND_HZ:
            return 1
        wanted = max(LFP_HZ, ROOM * highest_hz(config))
    return max(1, round(sampling_rate_hz / wanted)) if wanted else 1


class DecimationState(NamedTuple):
    """How far time has come, and what is known of the samples to come."""

    n_samples: int  # raw ones
    sums: Floats  # (outputs, channels): of the next outputs, as far as they are known
    replaced: Counts  # (channels,) raw samples of the unfinished period that were replaced


class Decimation:
    """Low-pass and every `factor`-th sample; output m comes with raw sample (m + 1) factor - 1.

    An output counts as bad if half of the raw samples since the output before were replaced; the
    exact share goes along for the bins. Source: windowed sinc with the window of Kaiser (1974).

    Args:
        factor: raw samples per output.
        highest_hz: upper edge of the highest band; must lie below half of the new rate.
        sampling_rate_hz: of the raw samples.
    """

    def __init__(
        self, factor: int, highest_hz: float, n_channels: int, sampling_rate_hz: float
    ) -> None:
        self.factor, self.n_channels = factor, n_channels
        self.from_hz, self.to_hz = sampling_rate_hz, sampling_rate_hz / factor
        self.taps = low_pass(factor, (self.to_hz - 2 * highest_hz) / sampling_rate_hz)
        self.latency_ms = 1000 * (len(self.taps) - 1) / 2 / sampling_rate_hz
        self.n_open = -(-len(self.taps) // factor)  # outputs that one raw sample takes part in
        self.padded = np.zeros(self.n_open * factor)
        self.padded[: len(self.taps)] = self.taps

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.from_hz:g} to {self.to_hz:g} Hz: every sample of {self.factor}, after a "
            f"symmetric low-pass of {len(self.taps)} taps"
        )

    def initial_state(self) -> DecimationState:
        """At rest."""
        sums = np.zeros((self.n_open, self.n_channels))
        return DecimationState(0, sums, np.zeros(self.n_channels, dtype=np.int64))

    def step(self, x: Guarded, state: DecimationState) -> tuple[Guarded, DecimationState]:
        """Decimate one chunk; every sum runs in the order of time, whatever the chunks."""
        raw, factor = len(x.samples), self.factor
        phase = state.n_samples % factor
        done = (phase + raw) // factor
        sums = np.zeros((done + self.n_open, self.n_channels))
        sums[: self.n_open] = state.sums
        replaced = np.zeros((done + 1, self.n_channels), dtype=np.int64)
        replaced[0] = state.replaced
        for age in range(len(self.padded) - 1, -1, -1):  # in outputs, at the oldest sample first
            at = factor - 1 - phase - age  # of the sample with this age at output 0
            skipped = max(0, -(at // factor))
            samples = x.samples[at + skipped * factor :: factor]
            sums[skipped : skipped + len(samples)] += self.padded[age] * samples
            if age < factor:
                bad = x.bad[at + skipped * factor :: factor]
                replaced[skipped : skipped + len(bad)] += bad
        share = replaced[:done] / factor
        decimated = Guarded(sums[:done].copy(), share >= 0.5, Raw(raw, share))
        return decimated, DecimationState(
            state.n_samples + raw, sums[done:].copy(), replaced[done].copy()
        )


def low_pass(factor: int, width: float) -> Floats:
    """Taps of a low-pass around half of the new rate.

    Args:
        factor: raw samples per output.
        width: of the transition, as a share of the raw sampling rate.
    """
    n = int(np.ceil((DESIGN_DB - 7.95) / (2.285 * 2 * np.pi * width))) + 1
    time = np.arange(n) - (n - 1) / 2  # raw samples
    taps = np.sinc(time / factor) * np.kaiser(n, 0.1102 * (DESIGN_DB - 8.7))
    return np.asarray(np.round(taps / taps.sum() * DIGITS) / DIGITS)
