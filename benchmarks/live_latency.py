"""Latency from sample to output of `realm.live` over LSL on loopback, and what was lost.

    python -m benchmarks.live_latency --minutes 10 --stress 0 --out live_latency.json

Another process sends 96 channels at 1 kHz in blocks of 5 ms, as an amplifier does; a made-up bundle
decodes bins of 10 ms, with a student of the recipes' size or a larger one (`--student`). Three
delays are measured for every bin:

- `after_push_ms`: from the instant the bin's last sample was given to liblsl to the instant a sink
  has the row;
- `after_stamp_ms`: the same from the sample's time stamp; under stress it also holds how late the
  sender was woken, `sender_late_ms`.

`--stress N` keeps N more processes busy. No library of the training is loaded before the end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the numerical libraries are loaded

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_up import random_weights
from realm.files import write_json
from realm.live.clock import now_s
from realm.live.loop import LiveLoop
from realm.live.outputs import OutputInfo, Outputs
from realm.live.sinks import Counters
from realm.live.sources.lsl import LSLSource
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

RATE_HZ, BLOCK = 1000, 5
CHANNELS = tuple(f"ch{index:02d}" for index in range(96))
SCALE_UV = 50.0
STUDENTS = {
    "recipe": {"layers": 2, "d_model": 64, "d_state": 16, "headdim": 32},  # as recipes have it
    "mid": {"layers": 3, "d_model": 128, "d_state": 32, "headdim": 32},
}
SHAPE = {"expand": 2, "conv_kernel": 4}
BEGIN_S, DRAIN_S = 60.0, 5.0

Floats = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_latency", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--stress", type=int, default=0, help="busy processes beside it")
    parser.add_argument("--student", choices=STUDENTS, default="recipe", help="its size")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args(arguments)
    result = measure(options.minutes, options.stress, options.student)
    from benchmarks.report import machine  # loads torch: after the measurement

    write_json(options.out, {"machine": machine(), **result})
    for name in ("samples", "bins", "after_push_ms", "after_stamp_ms", "sender_late_ms"):
        print(f"{name:16}", ", ".join(f"{key} {_short(v)}" for key, v in result[name].items()))


def measure(minutes: float, stress: int, student: str = "recipe") -> dict[str, Any]:
    """Send, decode and compare."""
    name = f"realm-benchmark-{os.getpid()}"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    n_samples = max(1, round(minutes * 60 * RATE_HZ / BLOCK)) * BLOCK
    sender = context.Process(target=send, args=(name, n_samples, theirs), daemon=True)
    busy = [context.Process(target=_keep_busy, daemon=True) for _ in range(stress)]
    decoder, sink = StreamingDecoder(made_up_bundle(student)), Stopwatch()
    for each in (sender, *busy):
        each.start()
    assert ours.poll(BEGIN_S), "the sender did not start"
    ours.recv()
    loop = LiveLoop(decoder, LSLSource(name), {"stopwatch": sink})
    sent: dict[str, Any] = {}
    ending = threading.Thread(target=_end, args=(loop, ours, n_samples, sent), daemon=True)
    ending.start()
    began_s, cpu_s = now_s(), _cpu_s()
    status = loop.run().final()
    cpu_share = (_cpu_s() - cpu_s) / (now_s() - began_s)
    ending.join()
    for each in (sender, *busy):
        each.terminate()
        each.join()
    settings = {
        "minutes": minutes,
        "stress": stress,
        "channels": len(CHANNELS),
        "rate_hz": RATE_HZ,
        "block_ms": 1000 * BLOCK / RATE_HZ,
        "bin_ms": decoder.bin_ms,
        "student": student,
        "weights": decoder.bundle.sizes.count,
        "engine": decoder.engine,
    }
    return {"settings": settings, "cpu_share": cpu_share, **_compared(sent, sink, status)}


def _compared(sent: dict[str, Any], sink: Stopwatch, status: dict[str, Any]) -> dict[str, Any]:
    last_s, written_s, decoded = sink.rows()
    pushed_s, start_s = np.array(sent["pushed_s"]), sent["start_s"]
    index = np.rint((last_s[decoded] - start_s) * RATE_HZ).astype(int)  # of each bin's last sample
    blocks = np.clip(index // BLOCK, 0, len(pushed_s) - 1)
    stamps_s = start_s + (np.arange(len(pushed_s)) * BLOCK + BLOCK - 1) / RATE_HZ
    samples = status["samples"]
    return {
        "samples": {
            "sent": sent["samples"],
            "lost": sent["samples"] - samples["received"],
            **{key: samples[key] for key in ("received", "decoded", "dropped", "filled")},
        },
        "bins": {
            "due": sent["samples"] // (RATE_HZ // 100),
            **{key: status["bins"][key] for key in ("given", "decoded", "held", "neutral")},
        },
        "after_push_ms": _quantiles(1000 * (written_s[decoded] - pushed_s[blocks])),
        "after_stamp_ms": _quantiles(1000 * (written_s[decoded] - last_s[decoded])),
        "sender_late_ms": _quantiles(1000 * (pushed_s - stamps_s)),
        "loop_latency_ms": status["latency_ms"],
    }


def _quantiles(values_ms: Floats) -> dict[str, float]:
    quantiles = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: float(np.quantile(values_ms, share)) for name, share in quantiles.items()}


class Stopwatch:
    """A sink that notes when it got each row."""

    immediate = True  # as the sinks to LSL and ZeroMQ are

    def __init__(self) -> None:
        self._last_s: list[Floats] = []
        self._written_s: list[Floats] = []
        self._decoded: list[NDArray[np.bool_]] = []

    def open(self, info: OutputInfo) -> None:
        """Nothing to do."""

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Note the instant, and which rows were decoded."""
        now = now_s()
        self._last_s.append(outputs.time_s)
        self._written_s.append(np.full(len(outputs.bin), now))
        self._decoded.append(outputs.latency_ms > 0)  # the loop gives rows of its own at once

    def close(self) -> None:
        """Nothing to do."""

    def rows(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Last sample's time stamp, arrival at the sink, and whether it was decoded."""
        parts = (self._last_s, self._written_s, self._decoded)
        return tuple(np.concatenate(part) for part in parts)  # type: ignore[return-value]


def send(name: str, n_samples: int, told: Connection) -> None:
    """Send noise in real time, stamped with the time it is due, and tell when it was pushed."""
    import pylsl

    info = pylsl.StreamInfo(name, "LFP", len(CHANNELS), RATE_HZ, "float32", name)
    channels = info.desc().append_child("channels")
    for label in CHANNELS:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", "microvolts")
    outlet = pylsl.StreamOutlet(info)
    told.send("ready")
    outlet.wait_for_consumers(BEGIN_S)
    noise = made_up_signal(10 * RATE_HZ, seed=1).astype(np.float32)
    start_s, pushed_s = now_s() + 0.1, np.empty(n_samples // BLOCK)
    for block in range(n_samples // BLOCK):
        at = block * BLOCK % len(noise)
        due_s = start_s + (block * BLOCK + BLOCK - 1) / RATE_HZ
        time.sleep(max(0.0, due_s - now_s()))
        pushed_s[block] = now_s()
        outlet.push_chunk(noise[at : at + BLOCK], due_s)
    told.send({"samples": n_samples, "start_s": start_s, "pushed_s": pushed_s.tolist()})
    told.recv()


def _end(loop: LiveLoop, sender: Connection, n_samples: int, sent: dict[str, Any]) -> None:
    """Stop the loop when all that was sent has arrived, or does not arrive any more."""
    sent.update(sender.recv())
    until = now_s() + DRAIN_S
    while loop.status.samples.received < n_samples and now_s() < until:
        time.sleep(0.05)
    loop.stop()
    sender.send("done")


def _keep_busy() -> None:
    while True:
        pass


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _short(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def made_up_signal(samples: int, seed: int) -> Floats:
    """Microvolts (samples, channels): slow and fast noise."""
    rng = np.random.default_rng(seed)
    fast = rng.normal(size=(samples, len(CHANNELS)))
    slow = np.cumsum(rng.normal(size=fast.shape), axis=0)
    slow -= np.linspace(0, 1, samples)[:, None] * slow[-1]  # so that it can be repeated
    signal: Floats = SCALE_UV * (fast + slow / slow.std())
    return signal


def made_up_bundle(student: str = "mid") -> Bundle:
    """A fitted chain with all its stages and a student with random weights."""
    chain = SignalChain(SignalConfig(line_hz=50.0), float(RATE_HZ), list(CHANNELS))
    training = 1e-6 * made_up_signal(20 * RATE_HZ, seed=0)
    chain = chain.fit_guard(training)
    chain = chain.fit_normalization(chain.forward(training))
    sizes = StudentSizes(chain.n_channels * chain.n_bands, 2, **STUDENTS[student], **SHAPE)
    weights = random_weights(sizes, np.random.default_rng(0))
    return Bundle(
        session_id="made up",
        subject="nobody",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=0,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, 0.0),
    )


if __name__ == "__main__":
    main()
