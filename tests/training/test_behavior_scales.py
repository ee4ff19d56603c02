"""Behavior is normalized by a session's own labels, and by its subject's where it has none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from realm.training.build import behavior_scales


def session(name: str, subject: str, mean: float, std: float) -> SimpleNamespace:
    values = (mean + std * np.array([[-1.0], [1.0]] * 50)).astype(np.float32)  # (bins, 1)

    def labels(label_s: float | None) -> np.ndarray:
        return np.arange(100) < (100 if label_s is None else label_s)

    return SimpleNamespace(
        session_id=name,
        subject=subject,
        behavior_names=("speed",),
        splits={"train": (0, 100)},
        behavior=lambda start, stop: (values[start:stop], np.ones(stop - start, bool)),
        training_labels=labels,
    )


SESSIONS = [session("a0", "a", 1, 2), session("a1", "a", 3, 4), session("b0", "b", 50, 9)]


def scale(label_s: dict[str, float], name: str) -> tuple[float, float]:
    mean, std = behavior_scales([*SESSIONS, session("a2", "a", 7, 7)], label_s)[name]
    assert mean.dtype == std.dtype == torch.float32
    return round(mean.item(), 1), round(std.item(), 1)


def test_the_labels_of_a_session_are_its_own() -> None:
    assert scale({}, "a2") == (7, 7)
    assert scale({"a2": 10}, "a2") == (7, 7.4)  # of ten bins


def test_without_labels_it_is_the_mean_of_the_subject() -> None:
    assert scale({"a2": 0}, "a2") == (2, 3)
    assert scale({"a2": 0}, "b0") == (50, 9)


def test_without_labels_of_the_subject_it_is_neutral() -> None:
    assert scale({"b0": 0}, "b0") == (0, 1)
    assert scale(dict.fromkeys(("a0", "a1", "a2"), 0), "a1") == (0, 1)
