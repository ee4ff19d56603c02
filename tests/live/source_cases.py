"""What every source of an amplifier is asked for: whole blocks, and rows as decoded offline."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
from live_cases import PLAIN, RATE_HZ, RecordingSink, decoder, signal

from realm.live.clock import now_s
from realm.live.loop import LiveLoop
from realm.live.outputs import Outputs
from realm.live.sinks import Counters
from realm.live.sources import Block, Source

PATIENCE_S = 30.0
SIZE = 128  # samples of a block
SAMPLES = 7 * SIZE
Serve = Callable[[np.ndarray, int, Callable[[int], None]], None]


def read(source: Source, samples: int = 0) -> Block:
    """The next block; with `samples`, the blocks that follow each other until there are so many."""
    deadline, got = now_s() + PATIENCE_S, []
    while not got or sum(len(each.samples) for each in got) < samples:
        block = source.read(0.1)
        assert now_s() < deadline
        if block is not None:
            expected = got and got[-1].first_index + len(got[-1].samples)
            assert not got or block.first_index == expected
            got.append(block)
    samples_, times = (np.concatenate([each[k] for each in got]) for k in (0, 1))
    return Block(samples_, times, got[0].first_index)


def decoded_through(source: Source, serve: Serve, left_out: int, step_uv: float = 0.0) -> None:
    """A signal goes through an amplifier and its source, and is decoded as offline.

    Args:
        source: not open yet.
        serve: sends (microvolts, samples of a block, function that waits until a sample is due).
        left_out: blocks at the beginning that the source does not give.
        step_uv: what the amplifier rounds to.
    """
    microvolts = 1e6 * signal(SAMPLES)[0]
    microvolts = microvolts.astype(np.float32)
    if step_uv:
        microvolts = np.float32(step_uv) * np.round(microvolts / step_uv).astype(np.float32)
    offline = decoder().forward(microvolts[left_out * SIZE :].astype(np.float64) * 1e-6)
    began = time.monotonic()

    def due(sample: int) -> None:
        time.sleep(max(0.0, began + sample / RATE_HZ - time.monotonic()))

    wanted = len(offline.behavior)

    class Until(RecordingSink):
        def write(self, outputs: Outputs, status: Counters) -> None:
            super().write(outputs, status)
            if sum((~rows.held & ~rows.neutral).sum() for rows in self.rows) >= wanted:
                loop.stop()

    sink = Until()
    patient = dataclasses.replace(PLAIN, late_ms=PATIENCE_S * 1000)
    loop = LiveLoop(decoder(), source, {"record": sink}, patient)
    serving = threading.Thread(target=serve, args=(microvolts, SIZE, due))
    serving.start()
    stopping = threading.Timer(PATIENCE_S, loop.stop)
    stopping.start()
    loop.run()
    stopping.cancel()
    serving.join()
    rows = sink.all
    decoded = ~rows.held & ~rows.neutral
    np.testing.assert_allclose(rows.behavior[decoded], offline.behavior, rtol=1e-5, atol=1e-7)
    status = loop.status.final()
    assert status["stream"]["resets"] == status["stream"]["gaps"] == 0
    assert status["samples"]["dropped"] == 0
