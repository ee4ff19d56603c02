"""How time grows with the length of a recording, its channels, the sessions and the parameters.

The exponent is the slope of log time over log size, fitted in every round; one is proportional.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Row, alternate
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.student import Student
from realm.signal import SignalChain, SignalConfig

AT_MOST = 1.1
RATE_HZ, VOLTS = 1000.0, 1e-4
CHANNELS, BANDS, DIMS, BINS = 32, 4, 2, 300


def measure(quick: bool) -> list[Row]:
    """One row for each thing that may grow."""
    rounds = 1 if quick else 5

    def pick(sizes: tuple[float, ...]) -> tuple[float, ...]:
        return sizes[:2] if quick else sizes

    chain = {n: _chain_over(60 * n, 16) for n in pick((1, 4, 15, 60))}
    channels = {n: _chain_over(4, int(n)) for n in pick((16, 64, 256, 1024))}
    sessions = {n: _epoch(int(n)) for n in pick((2, 8, 32, 64))}
    widths = dict(_step_of(int(d)) for d in pick((32, 64, 128, 256)))
    return [
        _exponent("Signal chain, recording of 1 to 60 min", chain, min(rounds, 2)),
        _exponent("Signal chain, 16 to 1,024 channels", channels, rounds),
        _exponent("Student, one pass over 2 to 64 sessions", sessions, rounds),
        _exponent("Student, training step, parameters", widths, rounds),
    ]


def _exponent(name: str, passes: Mapping[float, Callable[[], Any]], rounds: int) -> Row:
    seconds = alternate({str(size): run for size, run in passes.items()}, rounds)
    times = np.log(np.stack(list(seconds.values())))  # (sizes, rounds)
    slopes = np.polyfit(np.log(np.array(list(passes))), times, 1)[0]
    low, middle, high = (float(q) for q in np.quantile(slopes, (0.25, 0.5, 0.75)))
    return Row(
        name, middle, "exponent", "proportional", 1.0, middle, low, high, AT_MOST, middle <= AT_MOST
    )


def _chain_over(seconds: float, channels: int) -> Callable[[], Any]:
    """The chain over so much signal, in pieces of a second as a file is read."""
    names = [f"ch{i:04d}" for i in range(channels)]
    noise = VOLTS * np.random.default_rng(0).normal(size=(round(2 * RATE_HZ), channels))
    chain = SignalChain(SignalConfig(), RATE_HZ, names).fit_guard(noise)
    pieces = np.split(noise, 2)

    def run() -> None:
        state = chain.initial_state()
        for index in range(round(seconds)):
            _, state = chain.step(pieces[index % 2], state)

    return run


def _student(d_model: int, sessions: int) -> tuple[Student, list[SessionInfo]]:
    names = tuple(f"ch{i:02d}" for i in range(CHANNELS))
    infos = [SessionInfo(f"day{i}", "subject", names, BANDS) for i in range(sessions)]
    return Student(EncoderConfig(layers=2, d_model=d_model), infos, DIMS), infos


def _epoch(sessions: int) -> Callable[[], Any]:
    """Two windows of every session, forward and backward, a session at a time."""
    student, infos = _student(64, sessions)
    features = torch.randn(2, BINS, CHANNELS, BANDS)

    def run() -> None:
        for info in infos:
            student.zero_grad()
            student.head(
                student.encoder(student.adapters(features, info.session_id))
            ).sum().backward()

    return run


def _step_of(d_model: int) -> tuple[float, Callable[[], Any]]:
    """The number of parameters of an encoder, and its step of training on eight windows."""
    student, infos = _student(d_model, 1)
    features = torch.randn(8, BINS, CHANNELS, BANDS)

    def run() -> None:
        student.zero_grad()
        student.encoder(student.adapters(features, infos[0].session_id)).sum().backward()

    return sum(p.numel() for p in student.parameters()), run
