"""The live loop on a simulated clock: what an effector gets while samples come badly."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import Finding, Trial, at_most, same_bits
from realm.live.check import Fit
from realm.live.clock import simulated
from realm.live.decoding import Decoding
from realm.live.outputs import OutputInfo, Outputs
from realm.live.queues import Outlet
from realm.live.reader import Arrival, Connected
from realm.live.settings import LiveSettings
from realm.live.sinks import Counters, Sink
from realm.live.sources import StreamInfo
from realm.live.status import Status

TICK_S = 0.02
SETTINGS = LiveSettings(check_s=0.0)
LATE_S, HOLD_S = SETTINGS.late_ms / 1000, SETTINGS.hold_ms / 1000
SLACK_S = 2 * TICK_S
BACK_S = 1.0  # after which good samples must be decoded again
BEGUN_S = 1000.0
MOST_SKIPPED = 10_000  # bins: no pause here is nearly as long
PHASES = (
    ("good", 1.0),
    ("silent", 1.2),
    ("good", 1.4),
    ("frozen", 1.0),
    ("good", 1.4),
    ("backward", 1.0),
    ("good", 1.4),
    ("far", 0.1),
    ("good", 1.4),
    ("renumbered", 0.1),
    ("good", 1.4),
    ("slow", 3.0),
    ("good", 1.4),
)


class Effector(Sink):
    """Has the last row, and all decoded ones."""

    immediate = True

    def __init__(self, lookahead_s: float) -> None:
        self._oldest_s = 2 * LATE_S + HOLD_S + lookahead_s
        self.held, self.neutral = False, True  # before the first row
        self.taken_s = self.given_s = self.fresh_s = np.nan
        self.rows: list[NDArray[np.float64]] = []
        self.now_s, self.wrong, self.bin = BEGUN_S, 0, 0

    def open(self, info: OutputInfo) -> None:
        """Nothing to do."""

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Keep the last row; its true behavior is the time at which its samples were taken."""
        self.wrong += not np.isfinite(outputs.behavior).all()
        self.wrong += not self.bin <= outputs.bin[0] <= self.bin + MOST_SKIPPED
        self.bin = int(outputs.bin[-1]) + 1
        self.held, self.neutral = bool(outputs.held[-1]), bool(outputs.neutral[-1])
        self.taken_s = np.nan if outputs.truth is None else float(outputs.truth[-1, 0])
        self.given_s = self.now_s
        if not (self.held or self.neutral):
            self.fresh_s = self.now_s
        if not outputs.held.any():
            self.rows.append(outputs.behavior)

    def close(self) -> None:
        """Nothing to do."""

    def unsafe(self) -> bool:
        """Whether the last row is neither fresh, nor held for a moment, nor neutral."""
        if self.neutral:
            return False
        if self.held:
            return not self.now_s - self.fresh_s <= HOLD_S + LATE_S + SLACK_S
        old = np.isfinite(self.taken_s) and self.now_s - self.taken_s > self._oldest_s
        return bool(old or not self.now_s - self.given_s <= LATE_S + SLACK_S)


class Seen(NamedTuple):
    """What was seen of a stream."""

    ticks: int
    unsafe: int
    longest_back_s: float
    first: NDArray[np.float64]  # decoded rows of the first phase
    ended_neutral: bool


def check_live_loop(trial: Trial) -> list[Finding]:
    """Let samples come well, late, never, with wrong stamps and wrong numbers."""
    findings: list[Finding] = []
    for numbered in (True, False):
        seen, expected = _run(trial, numbered)
        how = "numbered samples, as over ZeroMQ" if numbered else "as over LSL"
        named = "with numbers" if numbered else "without numbers"
        text = f"{how}; {', '.join(dict.fromkeys(kind for kind, _ in PHASES))}"
        rows = len(seen.first)
        differ = not (rows and same_bits(seen.first, expected[:rows]))
        findings += [
            at_most(
                f"instants with an unsafe last row, {named}",
                seen.unsafe + (not seen.ended_neutral),
                "of " + str(seen.ticks),
                0,
                f"{text}; at every instant the last row is decoded from samples at most "
                f"{1000 * (LATE_S + HOLD_S):g} ms old, held for {1000 * HOLD_S:g} ms, or neutral",
                "an effector that moves on by old samples, a clock or number that is believed",
            ),
            at_most(
                f"until good samples are decoded again, {named}",
                seen.longest_back_s,
                "s",
                BACK_S,
                f"{text}; the longest",
                "a loop that stays neutral, held or silent after a fault",
            ),
            at_most(
                f"rows not as decoded, {named}",
                int(differ),
                "streams",
                0,
                f"{how}; {rows} rows of good samples against the decoder alone, bit for bit",
                "rows that the loop changes, mixes up or shifts",
            ),
        ]
    return findings


def _run(trial: Trial, numbered: bool) -> tuple[Seen, NDArray[np.float64]]:
    decoder, samples, rate = trial.decoder, trial.signal.samples, trial.rate_hz
    dims, channels = len(decoder.bundle.behavior_names), samples.shape[1]
    block = round(TICK_S * rate)
    effector = Effector(decoder.bundle.lookahead_bins * decoder.bin_ms / 1000)
    clock = [BEGUN_S]
    with simulated(lambda: clock[0]):
        status = Status()
        loop = Decoding(decoder, SETTINGS, status, threading.Event(), False, lambda text: None)
        info = OutputInfo("", decoder.bundle.behavior_names, "", decoder.channel_names, 1, 0, "")
        loop.outlets.append(Outlet("e", effector, info, status, 1000, threading.Event()))
        fit = Fit(np.arange(channels), channels, 1.0, (), False)
        loop.announce(Connected(StreamInfo("", decoder.channel_names, rate, "V"), fit, 1))
        sent, unsafe, ticks, back, longest = 0, 0, 0, 0.0, 0.0
        first: NDArray[np.float64] = np.empty((0, dims))
        waiting: list[tuple[float, Arrival]] = []
        for phase, (kind, seconds) in enumerate(PHASES):
            frozen_s, lag_s, back, decoded = BEGUN_S + sent / rate, 0.0, 0.0, False
            for _ in range(round(seconds / TICK_S)):
                at = sent + np.arange(block)
                taken = BEGUN_S + at / rate
                sent += block
                clock[0] = effector.now_s = BEGUN_S + sent / rate
                rows = np.concatenate(
                    [samples[at % len(samples)], np.repeat(taken[:, None], dims, axis=1)], axis=1
                )
                lag_s += 0.5 * TICK_S if kind == "slow" else 0.0
                stamps = {
                    "frozen": np.full(block, frozen_s),
                    "backward": taken - 1.5,
                    "far": taken + 200_000.0,
                }.get(kind, taken)
                number = int(at[0]) + (2**40 if kind == "renumbered" else 0)
                arrival = Arrival(rows, stamps, number if numbered else None, 1, 0.0)
                if kind != "silent":
                    waiting.append((clock[0] + lag_s, arrival))
                while waiting and (kind == "good" or waiting[0][0] <= clock[0]):
                    loop.receive(waiting.pop(0)[1]._replace(arrived_s=clock[0]))
                while not loop.idle:
                    loop.process_waiting()
                loop.process_waiting()
                ticks, unsafe = ticks + 1, unsafe + effector.unsafe()
                decoded |= not (effector.held or effector.neutral)
                if kind == "good" and not decoded:
                    back += TICK_S
            longest = max(longest, back)
            if phase == 0 and effector.rows:
                first = np.concatenate(effector.rows)
        loop.finish()
    seen = Seen(ticks, unsafe + effector.wrong, longest, first, effector.neutral)
    return seen, decoder.forward(samples[: round(PHASES[0][1] * rate)]).behavior
