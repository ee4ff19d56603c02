"""How well a model decodes validation time: the figure that decides when a training stops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from realm.data.sessions import PreparedSession


def require_validation_labels(sessions: Sequence[PreparedSession]) -> None:
    """Raise a ValueError when no session has known behavior in its validation time."""
    if not any(s.behavior(*s.splits["validation"])[1].any() for s in sessions):
        raise ValueError(
            f"{', '.join(str(s.path) for s in sessions)}: expected known behavior in the "
            "validation time of at least one session, which decides when to stop; all of it is "
            "missing. Use longer recordings or repair the behavior"
        )


def validation_score(
    sessions: Sequence[PreparedSession], decode: Callable[[PreparedSession], NDArray[Any]]
) -> dict[str, float]:
    """Mean R² of `decode(session)`, (validation bins, dims), NaN where there is no output.

    `score` is the R²; where behavior does not vary in any session, it is minus the squared error.
    """
    scores, errors = [], []
    for session in sessions:
        decoded = decode(session)
        behavior, known = session.behavior(*session.splits["validation"])
        known = known & np.isfinite(decoded).all(axis=1)
        truth, guess = behavior[known], decoded[known]
        varying = truth.std(axis=0) > 0 if len(truth) > 1 else np.zeros(0, bool)
        if varying.any():
            scores.append(r2_score(truth[:, varying], guess[:, varying]))
        if len(truth):
            errors.append(float(np.mean((truth - guess) ** 2)))
    score = float(np.mean(scores)) if scores else -float(np.mean(errors or [math.inf]))
    return {"score": score, **({"r2": score} if scores else {})}
