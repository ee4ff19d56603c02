"""The refitted head is the ridge solution on the stream, and is kept only if it scores better."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig
from realm.nn.student import Student
from realm.training import readout
from realm.training.config import DistillConfig
from realm.training.decode import CHUNK_BINS
from realm.training.distill import DistillObjective
from realm.training.readout import refit_readout

BINS, DIMS = 2 * CHUNK_BINS + 137, 2
CONFIG = EncoderConfig(layers=1, d_model=8, d_state=4, headdim=8)


def make_student() -> Student:
    torch.manual_seed(0)
    return Student(CONFIG, [SessionInfo("s", "m", ("c0", "c1"), 2)], DIMS).double()


def make_session(seed: int = 0) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((BINS, 2, 2)).astype(np.float32)
    behavior = rng.standard_normal((BINS, DIMS)).astype(np.float32)
    return SimpleNamespace(
        session_id="s",
        splits={"train": (0, BINS - 100)},
        features=lambda start, stop: features[start:stop],
        behavior=lambda start, stop: (behavior[start:stop], np.ones(stop - start, bool)),
    )


def some_labels(session: SimpleNamespace) -> np.ndarray:
    return np.arange(BINS - 100) % 3 > 0


def latents(student: Student, session: SimpleNamespace) -> np.ndarray:
    features = torch.from_numpy(session.features(0, BINS - 100))[None].double()
    with torch.no_grad():
        return student.step(features, student.initial_state(), "s")[0].latent[0].numpy()


@pytest.mark.parametrize("lookahead", [0, 3])
def test_it_is_the_ridge_solution_on_the_stream(
    monkeypatch: pytest.MonkeyPatch, lookahead: int
) -> None:
    monkeypatch.setattr(readout, "PENALTIES", np.array([1e-3]))
    student, session = make_student(), make_session()
    x, known = latents(student, session), some_labels(session)
    known[len(known) - lookahead :] = False
    x = np.roll(x, -lookahead, axis=0)[known]
    penalty = 1e-3 * np.mean((x**2).sum(0))
    wanted = Ridge(alpha=penalty).fit(x, session.behavior(0, BINS - 100)[0][known])
    scores = iter([0.0, 1.0])
    assert refit_readout(student, [session], some_labels, lookahead, lambda: next(scores)) == 1.0
    np.testing.assert_allclose(student.head.linear.weight.detach(), wanted.coef_, atol=1e-9)
    np.testing.assert_allclose(student.head.linear.bias.detach(), wanted.intercept_, atol=1e-9)


def test_the_trained_head_stays_where_no_solution_decodes_better() -> None:
    student = make_student()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    scores = iter([0.5] + [0.4] * len(readout.PENALTIES))
    assert refit_readout(student, [make_session()], some_labels, 0, lambda: next(scores)) == 0.5
    assert all(torch.equal(before[k], v) for k, v in student.state_dict().items())


def test_the_best_penalty_wins_and_only_the_head_changes() -> None:
    student, scores = make_student(), iter([0.1, 0.2, 0.9, 0.3, 0.2, 0.1, 0.0])
    before = {name: value.clone() for name, value in student.state_dict().items()}
    assert refit_readout(student, [make_session()], some_labels, 0, lambda: next(scores)) == 0.9
    changed = {k for k, v in student.state_dict().items() if not torch.equal(before[k], v)}
    assert changed == {"head.linear.weight", "head.linear.bias"}


def test_behavior_that_is_not_labelled_is_not_used() -> None:
    heads = []
    for garbage in (0.0, 1e3):
        student, session = make_student(), make_session()
        values = session.behavior(0, BINS)[0].copy()
        values[: BINS - 100][~some_labels(session)] = garbage
        hidden = SimpleNamespace(
            **{**vars(session), "behavior": lambda a, b, v=values: (v[a:b], None)}
        )
        scores = iter(range(10))
        refit_readout(student, [hidden], some_labels, 0, lambda s=scores: next(s))
        heads.append(student.head.linear.weight.detach().clone())
    assert torch.equal(*heads)


def test_without_labels_nothing_happens() -> None:
    student = make_student()
    before = student.head.linear.weight.clone()
    none = lambda session: np.zeros(BINS - 100, bool)  # noqa: E731
    assert refit_readout(student, [make_session()], none, 0, lambda: 0.3) == 0.3
    assert torch.equal(before, student.head.linear.weight)


@pytest.mark.parametrize("lookahead_ms", [0.0, 30.0])
def test_heads_are_scored_as_a_validation_scores_them(lookahead_ms: float) -> None:
    student, session = make_student(), make_session()
    session.splits |= {"validation": (BINS - 90, BINS - 10)}
    session.n_bins, session.bin_ms = BINS, 10.0
    config = DistillConfig(encoder=CONFIG, lookahead_ms=lookahead_ms)
    objective = DistillObjective(student, None, config, 0, [session])
    score = objective.score_of_heads()
    for _ in range(2):
        with torch.no_grad():
            student.head.linear.weight += torch.randn_like(student.head.linear.weight)
            assert score() == pytest.approx(objective.validate()["score"], abs=1e-12)
    assert objective.validate()["score"] < 0
