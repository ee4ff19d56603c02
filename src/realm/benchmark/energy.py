"""An estimate of the power of an implant: converting, sending and decoding, from published figures.

This is an estimate, not a measurement: published figures differ by a factor of 10 to 100 between
chips, ranges and years. Every constant has a low, a typical and a high value, and the estimate is
made with all low, all typical and all high ones. What all decoders share (power supply, clocks,
packaging) is left out. Ratios between signals are safer than watts: both use the same constants.

Assumed: every channel is converted at the rate of its signal; threshold crossings are
found on the chip, from samples at the broadband rate, and only counts are sent; the decoder's
input is sent by radio as stored, without compression, and decoded outside.
"""

from __future__ import annotations

from typing import NamedTuple

from realm.report.tables import ResultTable, number

BROADBAND_HZ, BROADBAND_BITS = 30_000.0, 16


class Constant(NamedTuple):
    """Joules for one event, and where they are from."""

    name: str
    low: float
    typical: float
    high: float
    source: str

    def of(self, scenario: int) -> float:
        """The low, the typical or the high value: scenario 0, 1 or 2."""
        return (self.low, self.typical, self.high)[scenario]


CONVERSION = Constant(
    "amplify and convert one sample",
    0.48e-9,
    2.1e-9,
    2.6e-9,
    "typical: Gao et al., HermesE, IEEE JSSC 47, 2012 (6.4 mW for 96 channels at 31.25 kS/s); "
    "high: Tasneem and Mahbub, Electronics, 2021 (26 µW at 10 kS/s); low: Antoniadis and "
    "Constandinou, arXiv 2511.12540, 2025 (5.44 µW to 5.7 kHz, taken at twice that rate; a "
    "design study). An amplifier's power is set by its noise, not by the rate alone: a slow "
    "channel can take a few times more than this scaling says",
)
RADIO = Constant(
    "send one bit",
    36e-12,
    131e-12,
    5.9e-9,
    "low: Mandal and Sarpeshkar, IEEE TBCAS 2, 2008 (inductive link of centimetres, 100 µW in the "
    "implant at 2.8 Mb/s); typical: Int. J. Telemedicine and Applications 2010, 563903 "
    "(transcutaneous FSK/OOK transmitter, 1.05 mW at 8 Mb/s); high: Miranda et al., HermesD, 2010 "
    "(142 mW at 24 Mb/s over 20 m, the whole system with its amplifiers)",
)
MULTIPLY = Constant(
    "multiply and accumulate",
    0.23e-12,
    4.6e-12,
    54.6e-12,
    "Horowitz, ISSCC 2014, 45 nm at 0.9 V: low 8-bit integers (0.2 + 0.03 pJ); typical 32-bit "
    "floats (3.7 + 0.9 pJ), without memory; high the same with the weight read from 1 MB of SRAM "
    "(100 pJ for 64 bits)",
)
CONSTANTS = (CONVERSION, RADIO, MULTIPLY)


class Signal(NamedTuple):
    """What is recorded and what of it enters the decoder."""

    name: str
    channels: int
    rate_hz: float  # of what is sent
    bits: int  # of one value that is sent
    conversion_hz: float  # of the converters

    @property
    def bits_per_s(self) -> float:
        """Input into the decoder."""
        return self.channels * self.rate_hz * self.bits


class Power(NamedTuple):
    """Estimated microwatts, at the low, typical or high constants."""

    conversion_uw: float
    radio_uw: float
    decoding_uw: float

    @property
    def total_uw(self) -> float:
        """The sum."""
        return self.conversion_uw + self.radio_uw + self.decoding_uw


def lfp(channels: int, rate_hz: float, bits: int) -> Signal:
    """Field potentials, converted and sent at their own rate."""
    return Signal("LFP", channels, rate_hz, bits, rate_hz)


def broadband(channels: int) -> Signal:
    """The raw signal at the rate that spikes need."""
    return Signal("broadband", channels, BROADBAND_HZ, BROADBAND_BITS, BROADBAND_HZ)


def threshold_crossings(channels: int, rate_hz: float, bits: int) -> Signal:
    """Counts of threshold crossings, found on the chip."""
    return Signal("threshold crossings", channels, rate_hz, bits, BROADBAND_HZ)


def estimate(signal: Signal, macs_per_s: float = 0.0, scenario: int = 1) -> Power:
    """Microwatts of one signal and decoder; scenario 0 is low, 1 typical, 2 high."""
    conversion = signal.channels * signal.conversion_hz * CONVERSION.of(scenario)
    radio = signal.bits_per_s * RADIO.of(scenario)
    return Power(conversion * 1e6, radio * 1e6, macs_per_s * MULTIPLY.of(scenario) * 1e6)


def constants_table() -> ResultTable:
    """The constants behind every estimate, with their sources."""
    rows = tuple(
        (c.name, *(f"{number(value * 1e12, digits=2)} pJ" for value in c[1:4]), c.source)
        for c in CONSTANTS
    )
    columns = ("One event", "Low", "Typical", "High", "Source")
    return ResultTable("Constants of the estimate", columns, rows)


def signal_table(signals: tuple[Signal, ...]) -> ResultTable:
    """Per signal: bits per second into the decoder, and the estimate without decoding."""
    rows = []
    for signal in signals:
        low, typical, high = (estimate(signal, scenario=k) for k in range(3))
        rows.append(
            (
                signal.name,
                str(signal.channels),
                number(signal.bits_per_s, digits=0),
                number(typical.conversion_uw, digits=1),
                number(typical.radio_uw, digits=1),
                f"{number(low.total_uw, digits=1)} to {number(high.total_uw, digits=1)}",
            )
        )
    columns = (
        *("Signal", "Channels", "Bits per s", "Converting, µW (estimate)"),
        *("Sending, µW (estimate)", "Sum, low to high, µW (estimate)"),
    )
    return ResultTable("Input into the decoder", columns, tuple(rows))
