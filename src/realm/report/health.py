"""Channel health: how much of every channel the guard had to replace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.style import MUTED, figure_file
from realm.report.tables import ResultTable, number

TITLE = "Channel health"
SOME, MUCH = 0.01, 0.5  # shares of replaced samples
CHUNK_BINS = 1 << 15


def health_section(run: RunFolder, figures: Path) -> Section:
    """Replaced samples per channel and session."""
    if not run.sessions:
        return left_out(TITLE, run.needs_sessions)
    shares = {s.session_id: replaced_share(s) for s in run.sessions}
    path = figures / "health.png"
    health_figure(run.sessions, shares, path)
    unwell = {s.session_id: unfit_channels(s, shares[s.session_id]) for s in run.sessions}
    listed = [f"{session}: {', '.join(names)}" for session, names in unwell.items() if names]
    text = (
        "Do not rely on these channels (masked from the start, or replaced more than half of the "
        "time): " + "; ".join(listed) + "."
        if listed
        else "No channel was masked from the start or replaced more than half of the time."
    )
    picture = Picture(path, "Share of samples that the guard replaced (flat, saturated, missing)")
    return Section(TITLE, (text,), (picture,), (_table(run.sessions, shares),))


def replaced_share(session: PreparedSession) -> NDArray[np.float64]:
    """Share of each channel's samples that were replaced, (channels,)."""
    total = np.zeros(len(session.channel_names))
    for start in range(0, session.n_bins, CHUNK_BINS):
        filled = session.filled(start, min(session.n_bins, start + CHUNK_BINS))
        total += filled.sum(axis=0, dtype=np.float64)
    return total / session.n_bins


def unfit_channels(session: PreparedSession, share: NDArray[np.float64]) -> list[str]:
    """Channels that are masked from the start or replaced for more than half of the time."""
    dead = session.chain.dead_channels
    names = zip(session.channel_names, share, strict=True)
    return [name for name, much in names if name in dead or much > MUCH]


def _table(
    sessions: Sequence[PreparedSession], shares: dict[str, NDArray[np.float64]]
) -> ResultTable:
    lines = []
    for session in sessions:
        share = shares[session.session_id]
        _, known = session.behavior(0, session.n_bins)
        lines.append(
            (
                session.session_id,
                number(session.n_bins * session.bin_ms / 60_000, digits=1),
                str(len(share)),
                str(len(session.chain.dead_channels)),
                str(int((share > SOME).sum())),
                f"{100 * share.mean():.2f}%",
                f"{100 * known.mean():.1f}%",
            )
        )
    columns = (
        *("Session", "Minutes", "Channels", "Masked from the start", "More than 1% replaced"),
        *("Replaced, mean", "Behavior known"),
    )
    return ResultTable("Sessions and their channels", columns, tuple(lines))


def health_figure(
    sessions: Sequence[PreparedSession], shares: dict[str, NDArray[np.float64]], path: Path
) -> None:
    """One row per session, one column per channel; darker: more replaced, on a log scale."""
    widest = max(len(share) for share in shares.values())
    image = np.full((len(sessions), widest), np.nan)
    for row, session in enumerate(sessions):
        image[row, : len(session.channel_names)] = shares[session.session_id]
    height = 1.5 + 0.28 * len(sessions)
    with figure_file(path, 9.0, max(2.2, height)) as fig:
        ax = fig.subplots()
        ax.set_facecolor("#FFFFFF")
        shown = ax.imshow(
            np.clip(image, 1e-4, 1.0),
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            norm=LogNorm(1e-4, 1.0),
        )
        bar = fig.colorbar(shown, ax=ax, ticks=[1e-4, 1e-3, 1e-2, 1e-1, 1.0])
        bar.ax.set_yticklabels(["0.01% or less", "0.1%", "1%", "10%", "100%"])
        ax.set_yticks(range(len(sessions)), [session.session_id for session in sessions])
        step = max(1, widest // 16)
        ax.set_xticks(range(0, widest, step))
        ax.tick_params(length=0, labelcolor=MUTED)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.set_xlabel("channel, in the order of the recording")
        for row, session in enumerate(sessions):
            for name in session.chain.dead_channels:
                place = session.channel_names.index(name)
                ax.text(place, row, "×", ha="center", va="center", color="#D55E00", weight="bold")
        ax.set_title("samples replaced" + _key(sessions))


def _key(sessions: Sequence[PreparedSession]) -> str:
    return "; ×: masked from the start" if any(s.chain.dead_channels for s in sessions) else ""
