"""From session to session: how accuracy changes, and how far the features have moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.style import MUTED, colour, figure_file, marker, quiet_grid
from realm.report.tables import number

TITLE = "From session to session"
METHODS = ("ridge", "student")


def drift_section(run: RunFolder, figures: Path) -> Section:
    """R² in the order of the sessions, and the distance of their features from the first's."""
    if not run.sessions:
        return left_out(TITLE, run.needs_sessions)
    subjects = by_subject(run.sessions)
    if not subjects:
        return left_out(TITLE, "Left out: no subject has two sessions in this run.")
    path = figures / "sessions.png"
    drift_figure(subjects, run.rows, path)
    largest = max(moved(s[0], later)[0] for s in subjects.values() for later in s[1:])
    text = (
        "The decoder was trained on every session here. So this shows how similar the sessions "
        "are, not how a decoder ages; the part `transfer` of `realm benchmark` measures that. The "
        f"means of the features moved by up to {number(largest, digits=2)} of their standard "
        "deviation from a subject's first session (median over channels and bands). The features "
        "of each session are normalized with its own training time."
    )
    return Section(TITLE, (text,), (Picture(path, "Accuracy and signal by session"),))


def by_subject(sessions: Sequence[PreparedSession]) -> dict[str, list[PreparedSession]]:
    """Sessions of the subjects with two or more, in the order of their names (day9, day10)."""
    found: dict[str, list[PreparedSession]] = {}
    for session in sorted(sessions, key=lambda s: _natural(s.session_id)):
        found.setdefault(session.subject, []).append(session)
    return {subject: group for subject, group in found.items() if len(group) > 1}


def moved(first: PreparedSession, later: PreparedSession) -> tuple[float, float]:
    """How far the means of the features lie from the first session's, in its deviations.

    Returns:
        Median and 90% quantile over the bands and the channels that both have and neither masks
        from the start; NaN for none.
    """
    dead = first.chain.dead_channels | later.chain.dead_channels
    both = set(later.channel_names) - set(dead)
    shared = [name for name in first.channel_names if name in both]
    before, after = (_statistics(session, shared) for session in (first, later))
    distance = np.abs(after[0] - before[0]) / before[1]
    if not distance.size:
        return np.nan, np.nan
    median, most = np.quantile(distance, [0.5, 0.9])
    return float(median), float(most)


def _statistics(
    session: PreparedSession, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of the features of training time, (channels, bands)."""
    rows = [session.channel_names.index(name) for name in names]
    statistics = session.chain.normalization
    assert statistics is not None, session.path
    return statistics.mean[rows], statistics.std[rows]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which runs of digits are numbers."""
    pieces = re.findall(r"\d+|\D+", name)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def drift_figure(
    subjects: dict[str, list[PreparedSession]], rows: Sequence[ResultRow], path: Path
) -> None:
    """Above: R² on test time. Below: how far the features have moved. One column per subject."""
    widths = [max(3, len(group)) for group in subjects.values()]
    with figure_file(path, 2.2 + 0.75 * sum(widths), 5.0) as fig:
        axes = fig.subplots(
            2, len(subjects), sharex="col", sharey="row", squeeze=False, width_ratios=widths
        )
        for column, (subject, sessions) in enumerate(subjects.items()):
            top, bottom = axes[:, column]
            top.set_title(subject)
            places = np.arange(len(sessions))
            for method in METHODS:
                scores = [_r2(rows, method, session.session_id) for session in sessions]
                if np.isfinite(scores).any():
                    top.plot(
                        places, scores, color=colour(method), marker=marker(method), label=method
                    )
            distances = np.array([moved(sessions[0], session) for session in sessions])
            bottom.plot(places, distances[:, 0], color=MUTED, marker="o", label="median")
            bottom.plot(places, distances[:, 1], "--", color=MUTED, marker="^", label="90%")
            bottom.set_xticks(places, [s.session_id for s in sessions], rotation=30, ha="right")
            bottom.set_xlim(-0.4, len(sessions) - 0.6)
            quiet_grid(top)
            quiet_grid(bottom)
        axes[0, 0].set_ylabel("R² on test time")
        axes[1, 0].set_ylabel("means moved by\n(deviations of the first)")
        axes[1, 0].set_ylim(bottom=0)
        for ax in axes[:, -1]:
            ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _r2(rows: Sequence[ResultRow], method: str, session: str) -> float:
    return mean_defined(
        [r.r2 for r in rows if (r.method, r.session, r.split) == (method, session, "test")]
    )
