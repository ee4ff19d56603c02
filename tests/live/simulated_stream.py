"""A stream on a simulated clock: what an amplifier takes, what becomes of it, what comes out.

Nothing sleeps. The true behavior of every sample is the time at which it was really taken, so that
the age of what a row was decoded from is known, whatever the time stamps say.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from live_cases import PER_BIN, RATE_HZ, bundle, signal

from benchmarks.made_up import random_weights
from realm.live.check import Fit
from realm.live.clock import AHEAD_S, simulated
from realm.live.decoding import Decoding
from realm.live.outputs import OutputInfo, Outputs
from realm.live.queues import Outlet
from realm.live.reader import Arrival, Connected
from realm.live.settings import LiveSettings
from realm.live.sinks import Counters, Sink
from realm.live.sources import StreamInfo
from realm.live.status import Status
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

CHANNELS = 2
NAMES = tuple(f"ch{i}" for i in range(CHANNELS))
SETTINGS = LiveSettings(check_s=0, retry_s=0.1)
BLOCK = 2 * PER_BIN
TICK_S = BLOCK / RATE_HZ
LATE_S, HOLD_S = SETTINGS.late_ms / 1000, SETTINGS.hold_ms / 1000
SLACK_S = 2 * TICK_S  # rows are looked at once a tick
# A row is given at most late_ms and hold_ms after its time stamp, and the next at most late_ms
# later. A time stamp may be ahead of the truth by AHEAD_S, and is not believed if it is more. Rows
# come once a bin, so a row is a bin older before the next one comes.
BIN_S = PER_BIN / RATE_HZ
OLDEST_S = LATE_S + HOLD_S + LATE_S + AHEAD_S + SLACK_S + BIN_S
KINDS = (
    "good",
    "late",
    "slow",
    "early",
    "frozen",
    "backward",
    "repeated",
    "renumbered",
    "absurd",
    "missing",
    "shuffled",
    "bunched",
    "busy",
    "silent",
    "far",
)


@functools.cache
def small_decoder() -> StreamingDecoder:
    """A decoder that takes little time."""
    volts = signal(4000, seed=50)[0][:, :CHANNELS]
    chain = SignalChain(SignalConfig(), RATE_HZ, NAMES).fit_guard(volts)
    chain = chain.fit_normalization(chain.forward(volts))
    sizes = StudentSizes(CHANNELS * chain.n_bands, 2, 1, 8, 4, 8, 1, 2)
    weights = random_weights(sizes, np.random.default_rng(1))
    like = bundle()
    made = Bundle(
        session_id="rat-1",
        subject="rat",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=0,
        behavior_names=like.behavior_names,
        behavior_unit="m/s",
        target="velocity",
        neutral=like.neutral,
    )
    return StreamingDecoder(made)


class Clock:
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Last(NamedTuple):
    """The last row that an effector got."""

    given_s: float
    taken_s: float  # when the samples were really taken; NaN: the row is not decoded, or from a gap
    held: bool
    neutral: bool
    behavior: np.ndarray
    latency_ms: float


class LastRow(Sink):
    """An effector: it has the last row, and checks every one."""

    immediate = True

    def __init__(self, clock: Clock) -> None:
        self._clock, self.last, self.bin = clock, None, -1
        self.fresh_s = -np.inf  # when the last decoded row came
        self.rows = 0

    def open(self, info: OutputInfo) -> None:
        pass

    def write(self, outputs: Outputs, status: Counters) -> None:
        assert np.isfinite(outputs.behavior).all()
        assert np.isfinite(outputs.time_s).all()
        assert (np.diff(outputs.bin, prepend=self.bin) > 0).all(), "a bin twice or out of order"
        assert not (outputs.held & outputs.neutral).any()
        alone = outputs.held | outputs.neutral
        assert (outputs.latency_ms[~alone] >= 0).all()
        assert (outputs.latency_ms[~alone] <= 1000 * (LATE_S + HOLD_S)).all()
        self.bin = int(outputs.bin[-1])
        self.rows += len(outputs.bin)
        truth = outputs.truth
        taken = float("nan") if truth is None else float(truth[-1, 0])
        self.last: Last | None = Last(
            self._clock.now_s,
            taken,
            bool(outputs.held[-1]),
            bool(outputs.neutral[-1]),
            outputs.behavior[-1].copy(),
            float(outputs.latency_ms[-1]),
        )
        if not alone.all():
            self.fresh_s = self._clock.now_s

    def close(self) -> None:
        pass


class Simulation:
    """A stream under simulated faults.

    Args:
        seed: of the faults.
        numbered: whether samples are counted, as over ZeroMQ; over LSL they are not.
    """

    def __init__(self, seed: int, numbered: bool, settings: LiveSettings = SETTINGS) -> None:
        self.rng, self.numbered = np.random.default_rng(seed), numbered
        self.clock, self.settings = Clock(), settings
        self.volts = signal(20_000, seed=3)[0][:, :CHANNELS]
        self.sent = 0  # samples that the amplifier took
        self.begun_s = self.clock.now_s
        self.on_its_way: list[tuple[float, Arrival]] = []
        self.before: list[Arrival] = []
        self.received, self.connection, self.ticks = 0, 0, 0
        self.open_s = 0.0  # when a refused source is opened again
        self.lag_s, self.frozen_s, self.number = 0.0, None, 0
        self.history: list[str] = []
        with simulated(self.clock):
            self.status = Status()
            self.decoding = Decoding(
                small_decoder(),
                settings,
                self.status,
                threading.Event(),
                waits=False,
                say=lambda text: None,
            )
            self.effector = LastRow(self.clock)
            use = small_decoder()
            info = OutputInfo("rat-1", ("y0", "y1"), "m/s", NAMES, 10.0, 0.0, use.bundle.sha256)
            hurry = threading.Event()
            self.decoding.outlets.append(
                Outlet("effector", self.effector, info, self.status, 1000, hurry)
            )
            self._connect()

    def _connect(self) -> None:
        self.connection += 1
        fit = Fit(np.arange(CHANNELS), CHANNELS, 1.0, (), False)
        info = StreamInfo("amplifier", NAMES, RATE_HZ, "V")
        self.decoding.announce(Connected(info, fit, self.connection))
        self.decoding.process_waiting()

    def run(self, faults: list[tuple[str, float]], good_s: float = 1.0) -> None:
        """Faults one after the other, each for a time; then good data, and the end."""
        with simulated(self.clock):
            for kind, seconds in [("good", 0.3), *faults]:
                self.history.append(kind)
                self.frozen_s, self.lag_s = None, self.lag_s if kind == "slow" else 0.0
                self.shift_s = self._shift(kind)
                for _ in range(max(1, round(seconds / TICK_S))):
                    self._tick(kind)
            while self.on_its_way:  # what is good comes after what was late
                self._tick("good")
            for _ in range(round(good_s / TICK_S)):
                self._tick("good")
            self._check_resynchronized(good_s)
            self.decoding.finish()
            self._check_the_end()

    def _shift(self, kind: str) -> float:
        """By how much stamps are wrong, in seconds, for the kinds that have them wrong."""
        rng = self.rng
        if kind == "backward":
            return -float(10 ** rng.uniform(-2, 2))
        if kind == "early":
            return float(10 ** rng.uniform(-2, 1))
        if kind == "far":
            return float(rng.choice([200_000.0, 9e15, 1e17, -1e17, 1e300, -3600.0, 59.0, -59.0]))
        return 0.0

    def _tick(self, kind: str) -> None:
        self.clock.now_s += TICK_S
        for due_s, arrival in self._made(kind):
            in_order_s = max(due_s, self.on_its_way[-1][0] if self.on_its_way else 0.0)
            self.on_its_way.append((due_s if kind == "shuffled" else in_order_s, arrival))
        self.on_its_way.sort(key=lambda pair: pair[0])
        while self.on_its_way and self.on_its_way[0][0] <= self.clock.now_s:
            self._arrive(self.on_its_way.pop(0)[1], kind)
        self.ticks += 1
        if kind != "busy" or self.ticks % 3 == 0:
            self.decoding.process_waiting()
        while kind != "busy" and not self.decoding._queue.empty:
            self.decoding.process_waiting()
        self._check(kind)

    def _made(self, kind: str) -> Iterator[tuple[float, Arrival]]:
        """The blocks that come of the samples of a tick, and when they arrive."""
        rng, now = self.rng, self.clock.now_s
        first = self.sent
        self.sent += BLOCK
        taken = self.begun_s + (first + np.arange(BLOCK)) / RATE_HZ
        volts = self.volts[(first + np.arange(BLOCK)) % len(self.volts)]
        rows = np.concatenate([volts, np.repeat(taken[:, None], 2, axis=1)], axis=1)
        stamps, number = taken + rng.uniform(-1e-3, 1e-3, BLOCK), first + self.number
        arrives = now
        if kind in ("silent", "missing") and (kind == "silent" or rng.random() < 0.5):
            return
        if kind in ("late", "shuffled"):
            arrives = now + float(rng.uniform(0, 0.4))
        elif kind == "slow":
            self.lag_s += 0.5 * TICK_S
            arrives = now + self.lag_s
        elif kind == "frozen":
            self.frozen_s = taken[0] if self.frozen_s is None else self.frozen_s
            stamps = np.full(BLOCK, self.frozen_s + min(0.0, self.shift_s))
        elif kind in ("backward", "early", "far"):
            stamps = stamps + self.shift_s
        elif kind == "repeated" and self.before:
            yield now, self.before[int(rng.integers(len(self.before)))]
            if rng.random() < 0.7:
                return
        elif kind == "renumbered" and self.numbered:
            if rng.random() < 0.3:
                number = int(
                    rng.choice([2**40, 2**62 - BLOCK, 0, first + 500, max(0, first - 500)])
                )
            elif rng.random() < 0.1:
                self.number = int(rng.integers(0, 2**30))
        elif kind == "absurd":
            wrong = rng.choice([np.nan, np.inf, -np.inf, 1e17, -1e17, 9e15, 1e300, 1e9])
            stamps = np.where(rng.random(BLOCK) < rng.choice([0.1, 1.0]), wrong, stamps)
        elif kind == "bunched":
            stamps = taken[-1] + 2e-5 * np.arange(BLOCK)
        made = Arrival(rows, stamps, number if self.numbered else None, 0, 0.0)
        self.before = [*self.before[-20:], made]
        yield arrives, made

    def _arrive(self, arrival: Arrival, kind: str) -> None:
        now = self.clock.now_s
        if self.decoding.refuses(self.connection):
            self.open_s, self.connection = now + self.settings.retry_s, self.connection + 1
        if now < self.open_s:
            return  # the source is closed
        if self.open_s:
            self.open_s, self.connection = 0.0, self.connection - 1
            self._connect()
        if kind == "busy":
            self.decoding._apart_until_s = now + 0.1
        self.received += len(arrival.rows)
        self.status.samples.received = self.received
        taken = self.decoding.receive(
            arrival._replace(connection=self.connection, arrived_s=now, rows=arrival.rows.copy())
        )
        assert taken

    # What must hold -------------------------------------------------------------------------------

    def _check(self, kind: str) -> None:
        last, now = self.effector.last, self.clock.now_s
        if last is None or last.neutral:
            return
        if last.held:
            assert now - self.effector.fresh_s <= HOLD_S + LATE_S + SLACK_S, self._told("held")
            return
        assert now - last.given_s <= LATE_S + SLACK_S, self._told("no row came")
        if np.isfinite(last.taken_s):
            assert now - last.taken_s <= OLDEST_S, self._told(f"{now - last.taken_s:.2f} s old")

    def _check_resynchronized(self, good_s: float) -> None:
        last = self.effector.last
        assert last is not None
        assert not last.held, self._told("held after a second of good data")
        assert not last.neutral, self._told("neutral after a second of good data")
        age_s = self.clock.now_s - last.taken_s
        assert age_s <= LATE_S + BIN_S + 1e-6, self._told(f"{age_s:.2f} s old after good data")

    def _check_the_end(self) -> None:
        last, samples, bins = self.effector.last, self.status.samples, self.status.bins
        assert last is not None
        assert last.neutral, self._told("the last row is not neutral")
        assert samples.received == samples.decoded + samples.dropped, self._told("lost count")
        causes = bins.neutral_quorum + bins.neutral_unchecked + bins.neutral_late
        assert bins.neutral == causes, self._told("neutral rows without a cause")
        assert bins.given == self.effector.rows
        assert self.status.sinks["effector"].errors == 0, self.status.sinks["effector"].last_error

    def _told(self, what: str) -> str:
        return f"{what}; after {', '.join(self.history)}; {self.status.final()['stream']}"


def random_faults(rng: Any) -> list[tuple[str, float]]:
    """One to five faults, of up to two seconds each."""
    kinds = rng.choice(KINDS, int(rng.integers(1, 6)))
    return [(str(kind), float(rng.uniform(0.02, 1.2))) for kind in kinds]
