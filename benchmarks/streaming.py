"""Decoding one bin of 10 ms: the student's step, against reading all its weights once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.timing import Row, alternate, compare
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.student import Student

N_BANDS, BEHAVIOR_DIMS = 4, 2
TARGET = 2.0


def measure(quick: bool) -> list[Row]:
    """One row: batch 1, a chunk of one bin at a time."""
    channels, d_model, bins, rounds = (4, 32, 5, 3) if quick else (32, 96, 200, 25)
    names = tuple(f"ch{i:02d}" for i in range(channels))
    session = SessionInfo("session", "subject", names, N_BANDS)
    student = Student(EncoderConfig(layers=2, d_model=d_model), [session], BEHAVIOR_DIMS).eval()
    seconds = alternate(
        {"step": _Stream(student, session, bins), "read": _WeightsRead(student, bins)}, rounds
    )
    shape = f"2 layers d {d_model}, {channels} channels × {N_BANDS} bands"
    return [
        compare(
            f"Student step, one bin, {shape}",
            seconds["step"] / bins,
            "µs",
            "its weights read once (sgemv)",
            seconds["read"] / bins,
            TARGET,
        )
    ]


class _Stream:
    """A stream that goes on for some bins at every call."""

    def __init__(self, student: Student, session: SessionInfo, bins: int) -> None:
        self.student, self.session_id = student, session.session_id
        self.bins = torch.randn(bins, 1, 1, len(session.channel_names), session.n_bands).unbind()
        self.state: Any = student.initial_state()

    def __call__(self) -> None:
        with torch.inference_mode():
            for features in self.bins:
                _, self.state = self.student.step(features, self.state, self.session_id)


class _WeightsRead:
    """For every bin, one product of a matrix of as many weights as the student has and a vector.

    The map of the subject and the difference of the session count once: a deployed student needs
    their sum only.
    """

    def __init__(self, student: Student, bins: int) -> None:
        apart = student.adapters.session_differences.values()
        n_weights = sum(p.numel() for p in student.parameters()) - sum(p.numel() for p in apart)
        rng = np.random.default_rng(0)
        columns = student.d_model
        self.bins, self.vector = bins, rng.normal(size=columns).astype(np.float32)
        self.weights = rng.normal(size=(-(-n_weights // columns), columns)).astype(np.float32)
        self.out = np.empty(len(self.weights), np.float32)

    def __call__(self) -> None:
        for _ in range(self.bins):
            np.dot(self.weights, self.vector, out=self.out)
