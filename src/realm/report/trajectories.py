"""Decoded against true behavior: over time, and as a path where it has two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from realm.evaluation.metrics import mean_r2
from realm.report.style import TRUTH, colour, figure_file, quiet_grid
from realm.report.tables import number


class Trajectory(NamedTuple):
    """True and decoded behavior of one session on one continuous span.

    `truth` and every entry of `decoded` (method -> array) are (bins, dims) in `unit`, `mask`
    (bins,) True = behavior known. `start_s` is the time of the first bin in the session.
    """

    session: str
    names: Sequence[str]
    unit: str
    bin_ms: float
    start_s: float
    truth: NDArray[Any]
    mask: NDArray[np.bool_]
    decoded: Mapping[str, NDArray[Any]]


# A longer path runs over itself.
_PATH_S = 6.0

# A decoded path of a velocity drifts away; it starts again from the true one this often.
_RESTART_S = 2.0


def trajectory_figure(trajectory: Trajectory, path: Path | str, *, span_s: float = 20.0) -> None:
    """Decoded against true behavior over time, and as a path where it has two dimensions.

    Shows the `span_s` where the true behavior varies most: chosen without looking at what was
    decoded. The R² in the legend is of the whole span that was given.
    """
    shown = _excerpt(trajectory, span_s)
    dims = shown.truth.shape[1]
    two_d = dims == 2
    with figure_file(path, 11.0 if two_d else 9.0, 1.2 + 1.9 * max(dims, 2 if two_d else 1)) as fig:
        if two_d:
            grid = fig.add_gridspec(2, 2, width_ratios=[2.0, 1.0])
            _draw_path(fig.add_subplot(grid[:, 1]), shown)
            axes = [fig.add_subplot(grid[dim, 0]) for dim in range(2)]
        else:
            axes = list(fig.subplots(dims, 1, sharex=True, squeeze=False)[:, 0])
        for dim, ax in enumerate(axes):
            _draw_dimension(ax, shown, dim)
            if dim < dims - 1:
                ax.tick_params(labelbottom=False)
        axes[-1].set_xlabel("time in the session (s)")
        handles = axes[0].get_lines()
        labels = ["true", *(_with_r2(trajectory, method) for method in trajectory.decoded)]
        fig.suptitle(
            f"Decoded and true behavior, {shown.session}", x=0.01, ha="left", weight="bold"
        )
        fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def _excerpt(trajectory: Trajectory, span_s: float) -> Trajectory:
    length = min(len(trajectory.truth), round(span_s * 1000.0 / trajectory.bin_ms))
    hop = max(1, length // 4)
    starts = range(0, len(trajectory.truth) - length + 1, hop)
    truth = np.where(trajectory.mask[:, None], trajectory.truth, np.nan).astype(np.float64)
    known = trajectory.truth[trajectory.mask]
    scale = np.maximum(known.std(axis=0), 1e-30) if len(known) else 1.0

    def movement(start: int) -> float:
        known = truth[start : start + length][trajectory.mask[start : start + length]]
        return float((known / scale).var(axis=0).sum() * len(known)) if len(known) else -1.0

    start = max(starts, key=movement, default=0)
    cut = slice(start, start + length)
    return trajectory._replace(
        truth=truth[cut],
        mask=trajectory.mask[cut],
        start_s=trajectory.start_s + start * trajectory.bin_ms / 1000.0,
        decoded={method: values[cut] for method, values in trajectory.decoded.items()},
    )


def _draw_dimension(ax: Axes, shown: Trajectory, dim: int) -> None:
    # A bin's behavior is the one at its end.
    time = shown.start_s + (np.arange(len(shown.truth)) + 1) * shown.bin_ms / 1000.0
    ax.plot(time, shown.truth[:, dim], color=TRUTH, linewidth=2.8)
    for method, decoded in shown.decoded.items():
        ax.plot(time, decoded[:, dim], color=colour(method), linewidth=1.4)
    name = shown.names[dim].replace("_", " ")
    ax.set_ylabel(f"{name}\n({shown.unit})" if shown.unit else name)
    ax.set_xlim(time[0], time[-1])
    quiet_grid(ax)


def _draw_path(ax: Axes, shown: Trajectory) -> None:
    bin_s, velocity = shown.bin_ms / 1000.0, shown.unit.replace(" ", "").endswith(("/s", "s-1"))
    length = min(len(shown.truth), round(_PATH_S / bin_s))
    truth = np.nan_to_num(shown.truth[:length]).cumsum(axis=0) * bin_s if velocity else shown.truth
    truth = np.where(shown.mask[: len(truth), None], truth, np.nan)[:length]
    ax.plot(*truth.T, color=TRUTH, linewidth=4.0)
    every = round(_RESTART_S / bin_s) if velocity else length
    for method, decoded in shown.decoded.items():
        for start in range(0, length, max(every, 1)):
            piece = np.asarray(decoded[start : min(start + every, length)], dtype=np.float64)
            if velocity:
                piece = np.vstack([truth[start], truth[start] + piece[1:].cumsum(axis=0) * bin_s])
            ax.plot(*piece.T, color=colour(method), linewidth=1.3)
            ax.plot(*piece[0], marker="o", markersize=3.5, color=colour(method))
    seconds = f"first {length * bin_s:.0f} s"
    note = f"; restarts at the true path every {_RESTART_S:.0f} s" if velocity else ""
    ax.set_title(f"path, {seconds}{note}", fontsize=9, weight="normal", wrap=True)
    unit = shown.unit.replace("/s", "").strip() if velocity else shown.unit
    names = [name.replace("_", " ") for name in shown.names]
    labels = [name + (", integrated" if velocity else "") for name in names]
    labels = [f"{label} ({unit})" if unit else label for label in labels]
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=4)
    quiet_grid(ax, "both")


def _with_r2(trajectory: Trajectory, method: str) -> str:
    r2 = mean_r2(trajectory.truth, trajectory.decoded[method], trajectory.mask)
    return f"{method} (R² {number(r2, digits=2)})"
