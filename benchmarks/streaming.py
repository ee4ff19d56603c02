"""Decoding one bin of 10 ms: the student's step, from raw samples to behavior, and a new process.

The student's step is measured beside reading all its weights once, the same step in ONNX Runtime,
and the same model in eager torch; weights are random, which costs the same as trained ones.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.made_up import RATE_HZ, TINY, VOLTS, Size, made_decoder
from benchmarks.timing import Row, Seconds, Skipped, alternate, compare, limit
from realm.decoder.onnx_step import build_step, onnx_libraries
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.student import Student
from realm.streaming import StreamingDecoder
from realm.streaming.fused import FusedStudent

RECIPE, MIDDLE = Size(32, 2, 64, 16), Size(96, 3, 128, 32)
READ_TARGET, ONNX_TARGET, EAGER_TARGET = 2.0, 1 / 3, 1 / 5
WHOLE_S, LONGEST_S = 100e-6, 1e-3  # median and 99.9 percent of a bin from raw samples

START_S = 1.0  # processor time of a new process to its first output
STARTING = """
import sys, time
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
n = round(decoder.sampling_rate_hz * decoder.bin_ms / 1000)
samples = np.zeros((n, len(decoder.channel_names)))
decoded, _ = decoder.step(samples, decoder.initial_state())
assert len(decoded.behavior) == 1
print(time.process_time())
"""

Stream = Callable[[], None]


def measure(quick: bool) -> list[Row | Skipped]:
    """Rows of the recipe's student and of the middle size, then of starting a decoder."""
    if quick:
        return [*_measure(TINY, bins=5, rounds=3, whole=20), start(TINY, rounds=1)]
    return [
        *_measure(RECIPE, bins=200, rounds=15, whole=0),
        *_measure(MIDDLE, bins=100, rounds=15, whole=20_000),
        start(MIDDLE, rounds=7),
    ]


def start(size: Size, rounds: int) -> Row:
    """Processor time of a new process to its first output, with compiled code in its cache."""
    with TemporaryDirectory() as folder:
        made_decoder(size).bundle.save(Path(folder) / "bundle")
        command = [sys.executable, "-c", STARTING, str(Path(folder) / "bundle")]
        seconds = [
            float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            for _ in range(rounds + 1)
        ]
    name = f"New process to first output, {size.channels} channels"
    return limit(name, np.array(seconds[1:]), "s", "a limit of 1 s", START_S)


def _measure(size: Size, bins: int, rounds: int, whole: int) -> list[Row | Skipped]:
    decoder = made_decoder(size)
    shape = f"{size.layers} layers d {size.d_model} state {size.d_state}, {size.channels} channels"
    student = decoder._student
    assert isinstance(student, FusedStudent), "expected numba"
    features = np.random.default_rng(0).normal(size=(bins, 1, student.packed.sizes.features))
    features = features.astype(np.float32)
    step = _advancing(student, features)
    streams = {"step": step, "read": _reading(student, bins), "eager": _eager(decoder, features)}
    try:
        streams["onnx"] = _in_onnx(decoder, features)
    except ValueError as error:
        why = str(error)
    seconds = {name: s / bins for name, s in alternate(streams, rounds).items()}
    name, taken = f"Student step, one bin, {shape}", seconds["step"]
    rows: list[Row | Skipped] = [
        compare(name, taken, "µs", "its weights read once (sgemv)", seconds["read"], READ_TARGET),
        compare(name, taken, "µs", "eager torch", seconds["eager"], EAGER_TARGET),
    ]
    if "onnx" in seconds:
        rows.append(compare(name, taken, "µs", "ONNX Runtime", seconds["onnx"], ONNX_TARGET))
    else:
        rows.append(Skipped(f"{name} beside ONNX Runtime", why))
    _assert_nothing_allocated(step)
    return rows if not whole else [*rows, *_whole(decoder, shape, whole)]


def _whole(decoder: StreamingDecoder, shape: str, bins: int) -> list[Row]:
    """Median and 99.9 percent of the time from raw samples to behavior, a bin at a time."""
    per_bin = round(RATE_HZ * decoder.bin_ms / 1000)
    noise = np.random.default_rng(0).normal(size=(100, per_bin, len(decoder.channel_names)))
    state, taken = decoder.initial_state(), np.empty(100 + bins)
    for index in range(len(taken)):
        start = time.perf_counter()
        _, state = decoder.step(VOLTS * noise[index % 100], state)
        taken[index] = time.perf_counter() - start
    taken = taken[100:]  # the first do not count
    name = f"Raw samples to behavior, one bin, {shape}"
    late: Seconds = np.array([np.quantile(part, 0.999) for part in np.array_split(taken, 5)])
    return [
        limit(f"{name}, median", taken, "µs", "a limit of 100 µs, time on the wall", WHOLE_S),
        limit(f"{name}, 99.9%", late, "µs", "a limit of 1 ms, time on the wall", LONGEST_S),
    ]


def _advancing(student: FusedStudent, features: Any) -> Stream:
    state, scratch = student.initial_state(), student.scratch()
    out = np.empty((1, student.packed.sizes.behavior), np.float32)
    each = list(features)

    def goes_on() -> None:
        for bin_ in each:
            student.advance(bin_, state, scratch, out)

    return goes_on


def _reading(student: FusedStudent, bins: int) -> Stream:
    """For every bin, one product of a matrix of as many weights as there are and a vector."""
    columns = student.packed.sizes.d_model
    n_weights = sum(np.size(array) for array in student._weights)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=columns).astype(np.float32)
    weights = rng.normal(size=(-(-n_weights // columns), columns)).astype(np.float32)
    out = np.empty(len(weights), np.float32)

    def goes_on() -> None:
        for _ in range(bins):
            np.dot(weights, vector, out=out)

    return goes_on


def _in_onnx(decoder: StreamingDecoder, features: Any) -> Stream:
    content = build_step(decoder.bundle)
    _, runtime = onnx_libraries()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    state = [part.astype(np.float32) for part in decoder._student.initial_state()]
    each = [bin_[0] for bin_ in features]

    def goes_on() -> None:
        nonlocal state
        for bin_ in each:
            given = {"features": bin_, "conv": state[0], "ssm": state[1]}
            _, *state = session.run(None, given)

    return goes_on


def _eager(decoder: StreamingDecoder, features: Any) -> Stream:
    s, chain = decoder.bundle.sizes, decoder.bundle.chain
    session = SessionInfo("session", "subject", chain.channel_names, chain.n_bands)
    config = EncoderConfig(layers=s.layers, d_model=s.d_model, d_state=s.d_state, headdim=s.headdim)
    student = Student(config, [session], s.behavior).eval()
    each = torch.from_numpy(features).view(-1, 1, 1, chain.n_channels, chain.n_bands).unbind()
    state: Any = student.initial_state()

    def goes_on() -> None:
        nonlocal state
        with torch.inference_mode():
            for bin_ in each:
                _, state = student.step(bin_, state, "session")

    return goes_on


def _assert_nothing_allocated(step: Stream) -> None:
    tracemalloc.start()
    step()
    before = tracemalloc.get_traced_memory()[0]
    step()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 512, f"expected a step that allocates nothing, {grown} bytes were left"
