"""Made-up bundles, signals, sources that inject faults on cue, and sinks that write down."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.made_up import random_weights
from realm.live.clock import now_s
from realm.live.loop import LiveLoop
from realm.live.outputs import OutputInfo, Outputs
from realm.live.settings import LiveSettings
from realm.live.sinks import Counters
from realm.live.sources import Block, SourceEndedError, StreamInfo
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

RATE_HZ = 500.0
PER_BIN = 5  # samples of a bin of 10 ms
CHANNELS = 8
NAMES = tuple(f"ch{i}" for i in range(CHANNELS))
NEUTRAL = (0.0, -0.25)
SIZES = {"layers": 1, "d_model": 64, "d_state": 8, "headdim": 16, "expand": 2, "conv_kernel": 4}
INFO = StreamInfo("amplifier", NAMES, RATE_HZ, "V")
# No check of unit and rate, so that rows are decoded from the first; `check_s` has tests of its own
PLAIN = LiveSettings(check_s=0, retry_s=0.01)


def movement(samples: int, seed: int = 0) -> np.ndarray:
    """A smooth random path in two dimensions (samples, 2), of about unit variance."""
    window = np.gradient(np.hanning(round(0.4 * RATE_HZ)))  # around 2.5 Hz
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(samples + len(window) - 1, 2)) / np.linalg.norm(window)
    return np.stack([np.convolve(each, window, "valid") for each in noise.T], axis=1)


def signal(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Volts (samples, channels) that move with a behavior, and that behavior."""
    mixing = np.random.default_rng(7).normal(size=(2, CHANNELS))
    rng, truth = np.random.default_rng(seed + 100), movement(samples, seed)
    return 2e-5 * (truth @ mixing) + 5e-6 * rng.normal(size=(samples, CHANNELS)), truth


@functools.cache
def bundle(lookahead_bins: int = 0, quorum: float = 0.5) -> Bundle:
    """A random recurrent student whose readout was fitted to the behavior."""
    volts, truth = signal(30_000, seed=50)
    chain = SignalChain(SignalConfig(), RATE_HZ, NAMES).fit_guard(volts)
    chain = chain.fit_normalization(chain.forward(volts))
    inner = _bundle(chain, SIZES["d_model"], np.eye(SIZES["d_model"]), 0, 0.5)
    x = StreamingDecoder(inner, "float64", "numpy").forward(volts).behavior[100:]
    y = truth[PER_BIN - 1 :: PER_BIN][100 - lookahead_bins :]
    head = np.linalg.lstsq(x[: len(y)], y[: len(x)], rcond=None)[0].T
    return _bundle(chain, 2, head, lookahead_bins, quorum)


def _bundle(
    chain: SignalChain, dims: int, head: np.ndarray, lookahead: int, quorum: float
) -> Bundle:
    sizes = StudentSizes(CHANNELS * chain.n_bands, dims, **SIZES)
    weights = random_weights(sizes, np.random.default_rng(1))
    plain = (name for name in weights if name.endswith(("norm", ".D", "std")))
    weights |= {name: np.ones_like(weights[name]) for name in plain}
    weights["layers.0.out.weight"] *= 0.2  # the recurrence speaks, but does not drown the signal
    weights["adapter.weight"][:, np.arange(sizes.features) % chain.n_bands > 0] *= 0.1  # slow first
    weights |= {
        "head.weight": head,
        "head.bias": np.zeros(dims),
        "scale.mean": np.zeros(dims),
        "scale.std": np.ones(dims),
    }
    return Bundle(
        session_id="rat-1",
        subject="rat",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=lookahead,
        behavior_names=tuple(f"y{i}" for i in range(dims)),
        behavior_unit="m/s",
        target="velocity",
        quorum=quorum,
        neutral=NEUTRAL if dims == 2 else (0.0,) * dims,
    )


def decoder(**of_bundle: Any) -> StreamingDecoder:
    return StreamingDecoder(bundle(**of_bundle))


def blocks(
    volts: np.ndarray,
    size: int = PER_BIN,
    numbered: bool = True,
    start_s: float = 100.0,
    truth: np.ndarray | None = None,
) -> list[Block]:
    """A clean stream in blocks."""
    times = start_s + np.arange(len(volts)) / RATE_HZ
    return [
        Block(
            volts[a : a + size],
            times[a : a + size],
            a if numbered else None,
            None if truth is None else truth[a : a + size],
        )
        for a in range(0, len(volts), size)
    ]


class ScriptedSource:
    """Does what a list says, one entry after the other.

    A `Block` is handed over. A `StreamInfo` is what the next `open` answers, from then on; an
    `Opening` is raised by the next `open`. An exception is raised by `read`. A number is a pause in
    seconds. A function is called. With `live`, blocks come when their last sample is due, and their
    time stamps are moved to the present.
    """

    def __init__(self, script: Sequence[Any], live: bool = False, can_wait: bool = True) -> None:
        self._script, self._live = list(script), live
        self.can_wait = can_wait and not live
        self.info, self.opened, self.closed = INFO, 0, 0
        self._shift_s: float | None = None

    def open(self) -> StreamInfo:
        self.opened += 1
        if self._script and isinstance(self._script[0], Opening):
            raise self._script.pop(0).error
        if self._script and isinstance(self._script[0], StreamInfo):
            self.info = self._script.pop(0)
        return self.info

    def read(self, timeout_s: float) -> Block | None:
        if not self._script:
            raise SourceEndedError
        step = self._script[0]
        assert not isinstance(step, Opening | StreamInfo), "the script expected another open"
        if isinstance(step, Block) and self._live and not self._due(step):
            time.sleep(0.001)
            return None
        self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, int | float):
            time.sleep(step)
        elif callable(step):
            step()
        elif self._shift_s is not None:
            return step._replace(times_s=step.times_s + self._shift_s)
        return step if isinstance(step, Block) else None

    def _due(self, block: Block) -> bool:
        if self._shift_s is None:
            self._shift_s = now_s() - float(block.times_s[-1])
        return bool(block.times_s[-1] + self._shift_s <= now_s())

    def close(self) -> None:
        self.closed += 1


class Opening:
    """An error of the next `open`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class RecordingSink:
    """Writes down every row and checks that all of them may be sent to an effector."""

    def __init__(self, on_write: Callable[[int], None] = lambda nth: None) -> None:
        self.rows: list[Outputs] = []
        self.statuses: list[dict[str, Any]] = []
        self.opened, self.closed, self._on_write, self._writes = 0, 0, on_write, 0

    def open(self, info: OutputInfo) -> None:
        self.opened += 1
        self.info = info

    def write(self, outputs: Outputs, status: Counters) -> None:
        self._writes += 1
        self._on_write(self._writes)
        self.rows.append(outputs)
        self.statuses.append(status())

    def close(self) -> None:
        self.closed += 1

    @property
    def all(self) -> Outputs:
        """All rows as one."""
        parts = [rows.truth for rows in self.rows]
        truth = None if any(p is None for p in parts) else np.concatenate(parts)
        joined = (np.concatenate(each) for each in zip(*(r[:-1] for r in self.rows), strict=True))
        return Outputs(*joined, truth)


def run(
    script: Sequence[Any],
    settings: LiveSettings = PLAIN,
    *,
    sink: RecordingSink | None = None,
    live: bool = False,
    can_wait: bool = True,
    use: StreamingDecoder | None = None,
    **options: Any,
) -> tuple[Outputs, dict[str, Any]]:
    """Run a script to its end: all rows and the final status, with what must always hold."""
    sink = sink or RecordingSink()
    loop = LiveLoop(
        use or decoder(),
        ScriptedSource(script, live, can_wait),
        {"record": sink},
        settings,
        **options,
    )
    status = loop.run().final()
    check_what_always_holds(sink, status)
    return sink.all, status


def check_what_always_holds(sink: RecordingSink, status: dict[str, Any]) -> None:
    """Finite rows, each bin once and in order, every sample counted, the last row neutral."""
    rows, samples, bins = sink.all, status["samples"], status["bins"]
    for part in rows:
        assert part is rows.truth or np.isfinite(part).all()
    assert (np.diff(rows.bin) > 0).all()
    assert samples["received"] == samples["decoded"] + samples["dropped"]
    by_cause = ("neutral_quorum", "neutral_unchecked", "neutral_late")
    assert bins["neutral"] == sum(bins[name] for name in by_cause)
    assert bins["neutral"] >= bins["neutral_late"] >= 1
    assert (rows.behavior[-1] == NEUTRAL).all()
    assert rows.neutral[-1]
    assert (rows.behavior[rows.neutral] == NEUTRAL).all()
    assert sink.opened == sink.closed == 1
    assert status["state"] == "ended"


def expect(status: dict[str, Any], group: str, **counters: Any) -> None:
    """These counters of a group, and zero for all others that tell of a fault."""
    quiet = {
        "samples": ("filled", *(k for k in status["samples"] if k.startswith("dropped_"))),
        "stream": (
            "lost",
            "refused",
            "gaps",
            "resets",
            "bad_times",
            "clock_steps",
            "number_restarts",
            "empty_blocks",
            "extra_channels",
            "reordered",
            "state_errors",
        ),
        "bins": (
            "held",
            "neutral_quorum",
            "neutral_unchecked",
            "gap",
            "restarted",
            "late",
            "skipped",
        ),
    }[group]
    found = {k: status[group][k] for k in {*quiet, *counters}}
    assert found == dict.fromkeys(quiet, 0) | counters


def r2(truth: np.ndarray, decoded: np.ndarray) -> float:
    """R², mean over dimensions."""
    left, spread = ((truth - decoded) ** 2).sum(0), ((truth - truth.mean(0)) ** 2).sum(0)
    return float(np.mean(1 - left / spread))
