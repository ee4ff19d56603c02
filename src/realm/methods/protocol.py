"""The leak-free protocol: one continuous stream per session, scored on validation and test time.

Nothing here trains. A decoding of the whole session goes in, rows of `results.csv` come out, each
with its block-bootstrap interval and the shifted-behavior control.
"""

from __future__ import annotations

import numpy as np

from realm.data.sessions import PreparedSession
from realm.evaluation.control import shifted_control
from realm.evaluation.metrics import score_decoding
from realm.evaluation.results import LabelBudget, ResultRow, Split
from realm.methods.experiment import Decoding
from realm.signal.binning import lookahead_bins

SPLITS: tuple[Split, ...] = ("validation", "test")


def score_session(
    method: str, session: PreparedSession, decoding: Decoding, seed: int, label_s: LabelBudget
) -> list[ResultRow]:
    """One row for validation and one for test."""
    behavior, known = session.behavior(0, session.n_bins)
    # A decoder with lookahead has no output for the last bins; any other gap is its failure, which
    # the scores refuse.
    late = lookahead_bins(decoding.lookahead_ms, session.bin_ms) if decoding.causal else 0
    usable = np.arange(session.n_bins) < session.n_bins - late
    decoded = np.where(usable[:, None], decoding.behavior, 0.0)
    known = known & usable
    train = slice(*session.splits["train"])
    rows = []
    for split in SPLITS:
        span = slice(*session.splits[split])
        scores = score_decoding(behavior[span], decoded[span], known[span], bin_ms=session.bin_ms)
        control = shifted_control(
            behavior[train],
            decoded[train],
            known[train],
            behavior[span],
            decoded[span],
            known[span],
            bin_ms=session.bin_ms,
        )
        row = ResultRow(
            method=method,
            session=session.session_id,
            subject=session.subject,
            seed=seed,
            split=split,
            label_s=label_s,
            lookahead_ms=decoding.lookahead_ms,
            r2=scores.r2,
            r2_low=scores.r2_low,
            r2_high=scores.r2_high,
            pearson_r=scores.pearson_r,
            r2_shifted=control.r2,
            parameters=decoding.parameters,
            train_cpu_s=decoding.train_cpu_s,
            us_per_bin=decoding.us_per_bin,
        )
        rows.append(row)
    return rows
