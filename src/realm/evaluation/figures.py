"""What a person looks at after a run: decoded behavior, R² per session, learning curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from realm.evaluation.metrics import mean_defined, mean_r2
from realm.evaluation.results import ResultRow, Split, methods_of
from realm.evaluation.style import (
    INK,
    MUTED,
    TRUTH,
    colour,
    figure_file,
    marker,
    quiet_grid,
    spread_labels,
)
from realm.evaluation.tables import label_budgets, labels_text, number

FloatArray = NDArray[np.float64]


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


# Errors that a reconstruction must beat, drawn beside it where they were measured.
REFERENCES = ("channel_mean", "interpolation")

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
        fig.suptitle(f"Decoded and true behavior, {shown.session}", x=0.01, ha="left", weight="bold")
        fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def r2_figure(rows: Sequence[ResultRow], path: Path | str, *, split: Split = "test") -> None:
    """R² of every method in every session and on average, one panel per label budget.

    Large marker: mean over seeds; small dots: single seeds; bar: 95% interval over 5 s blocks
    (mean over seeds). Hollow markers are methods that look at the whole future.

    Raises:
        ValueError: no row belongs to the split.
    """
    rows = [row for row in rows if row.split == split]
    if not rows:
        raise ValueError(f"expected rows of the {split} split, found none; evaluate that split")
    budgets, methods = label_budgets(rows), methods_of(rows)
    sessions = list(dict.fromkeys(row.session for row in rows))
    line = 0.2 if len(sessions) <= 8 else 0.13
    height = 1.4 + (len(sessions) + 1) * (len(methods) * line + 0.18)
    low = _lowest_shown(rows)
    with figure_file(path, 3.4 + 4.6 * len(budgets), height) as fig:
        panels = fig.subplots(1, len(budgets), sharey=True, squeeze=False)[0]
        for ax, label_s in zip(panels, budgets, strict=True):
            panel = [row for row in rows if row.label_s == label_s]
            _draw_r2_panel(ax, panel, methods, sessions, low)
            ax.set_title(
                "all training labels" if label_s == "all" else f"{labels_text(label_s)} of labels"
            )
        hollow = "" if all(row.causal for row in rows) else "  Hollow: sees the future."
        fig.supxlabel(
            f"R² on {split} time.  Bar: 95% interval.  Dots: seeds.{hollow}", fontsize=10
        )


def read_metrics(path: Path | str, stage: str | None = None) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; `stage` names those that do not say it themselves.

    A last line that a killed run left half written is skipped.
    """
    records = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records.append({"stage": stage or "training", **record})
    return records


def loss_figure(records: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Learning curves, one column per stage: the loss, and the validation R² where it was measured.

    Records hold `step`, `stage`, `split` ("train" or "validation") and numbers, of which are used
    `loss` (or `reconstruction`, where that is what validation measures), `r2`, and the references
    `channel_mean` and `interpolation`; several seeds may be told apart by `seed`.

    Raises:
        ValueError: there are no records.
    """
    if not records:
        raise ValueError("expected training records, found none; pass those of metrics.jsonl")
    stages = list(dict.fromkeys(str(record["stage"]) for record in records))
    with_r2 = any(_number(record, "r2") is not None for record in records)
    rows = 2 if with_r2 else 1
    with figure_file(path, max(5.0, 3.7 * len(stages)), 0.6 + 2.6 * rows) as fig:
        axes = fig.subplots(rows, len(stages), squeeze=False)
        for column, stage in enumerate(stages):
            own = [record for record in records if record["stage"] == stage]
            axes[0, column].set_title(stage)
            _draw_loss(axes[0, column], own)
            if with_r2:
                _draw_validation_r2(axes[1, column], own)
                axes[1, column].sharex(axes[0, column])
            lowest = axes[1, column] if with_r2 and axes[1, column].axison else axes[0, column]
            lowest.set_xlabel("training step")


# Trajectories ---------------------------------------------------------------------------------


def _excerpt(trajectory: Trajectory, span_s: float) -> Trajectory:
    length = min(len(trajectory.truth), round(span_s * 1000.0 / trajectory.bin_ms))
    hop = max(1, length // 4)
    starts = range(0, len(trajectory.truth) - length + 1, hop)
    truth = np.where(trajectory.mask[:, None], trajectory.truth, np.nan).astype(np.float64)
    scale = np.maximum(trajectory.truth[trajectory.mask].std(axis=0), 1e-30)

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
    ax.plot(time, shown.truth[:, dim], color=TRUTH, linewidth=3.6)
    for method, decoded in shown.decoded.items():
        ax.plot(time, decoded[:, dim], color=colour(method), linewidth=1.4)
    ax.set_ylabel(f"{shown.names[dim]}\n({shown.unit})" if shown.unit else shown.names[dim])
    ax.set_xlim(time[0], time[-1])
    quiet_grid(ax)


def _draw_path(ax: Axes, shown: Trajectory) -> None:
    bin_s, velocity = shown.bin_ms / 1000.0, shown.unit.replace(" ", "").endswith(("/s", "s-1"))
    length = len(shown.truth) // 2  # half of the time: a path soon runs over itself
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
    for dim, label in enumerate((ax.set_xlabel, ax.set_ylabel)):
        name = shown.names[dim] + (", integrated" if velocity else "")
        label(f"{name} ({unit})" if unit else name)
    ax.set_aspect("equal", adjustable="datalim")
    quiet_grid(ax, "both")


def _with_r2(trajectory: Trajectory, method: str) -> str:
    r2 = mean_r2(trajectory.truth, trajectory.decoded[method], trajectory.mask)
    return f"{method} (R² {number(r2, digits=2)})"


# R² per session -------------------------------------------------------------------------------


def _lowest_shown(rows: Sequence[ResultRow]) -> float:
    """Left end of the R² axis: far failures are cut off and marked, so that the rest is readable."""
    values = [value for row in rows for value in (row.r2, row.r2_low) if not math.isnan(value)]
    return max(-0.25, min([-0.05, *(value - 0.04 for value in values)]))


def _draw_r2_panel(
    ax: Axes,
    rows: Sequence[ResultRow],
    methods: Sequence[str],
    sessions: Sequence[str],
    low: float,
) -> None:
    band = len(methods) + 1.0
    for place, session in enumerate(["mean over sessions", *sessions]):
        if place % 2 == 0:
            ax.axhspan(place * band - 0.75, (place + 1) * band - 0.75, color="#F5F5F5", zorder=0)
        for rank, method in enumerate(methods):
            group = [row for row in rows if row.method == method]
            y = place * band + rank + 0.25
            if place == 0:
                _draw_mean(ax, group, method, y, low)
            else:
                _draw_session(ax, [row for row in group if row.session == session], method, y, low)
    centres = [place * band + (band - 1.5) / 2 for place in range(len(sessions) + 1)]
    ax.set_yticks(centres, ["mean over sessions", *sessions])
    for text in ax.get_yticklabels()[:1]:
        text.set_weight("bold")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim((len(sessions) + 1) * band - 0.75, -0.75)
    ax.set_xlim(low, 1.0)
    ax.axvline(0.0, color=MUTED, linewidth=1.0)
    quiet_grid(ax, "x")


def _draw_mean(ax: Axes, group: Sequence[ResultRow], method: str, y: float, low: float) -> None:
    if not group:
        return
    by_session = [
        mean_defined([row.r2 for row in group if row.session == session])
        for session in dict.fromkeys(row.session for row in group)
    ]
    seeds = [
        mean_defined([row.r2 for row in group if row.seed == seed])
        for seed in dict.fromkeys(row.seed for row in group)
    ]
    mean = mean_defined(by_session)
    _draw_point(ax, group[0], mean, seeds, (math.nan, math.nan), y, low)
    ax.annotate(
        f"{method}  {number(mean, digits=2)}",
        xy=(1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9.5,
        color=INK,
        weight="bold" if method == "student" else "normal",
    )


def _draw_session(ax: Axes, group: Sequence[ResultRow], method: str, y: float, low: float) -> None:
    if not group:
        return
    limits = (mean_defined([r.r2_low for r in group]), mean_defined([r.r2_high for r in group]))
    mean = mean_defined([row.r2 for row in group])
    _draw_point(ax, group[0], mean, [row.r2 for row in group], limits, y, low)


def _draw_point(
    ax: Axes,
    row: ResultRow,
    mean: float,
    seeds: Sequence[float],
    limits: tuple[float, float],
    y: float,
    low: float,
) -> None:
    own = colour(row.method)
    if math.isnan(mean):
        ax.text(0.02, y, "undefined", color=MUTED, va="center", fontsize=8.5, style="italic")
        return
    if not math.isnan(limits[0]):
        ax.plot([max(limits[0], low), max(limits[1], low)], [y, y], color=own, linewidth=2, alpha=0.6)
    if mean < low:
        text = f"◀ {number(mean, digits=2)}"
        ax.text(low + 0.01, y, text, color=INK, va="center", fontsize=8.5)
        return
    if len(seeds) > 1:
        inside = [value for value in seeds if value >= low]
        ax.plot(inside, [y] * len(inside), ".", color=INK, markersize=3.0, alpha=0.8, zorder=4)
    face = own if row.causal else "white"
    ax.plot(
        [mean],
        [y],
        marker=marker(row.method),
        markersize=7.0,
        markerfacecolor=face,
        markeredgecolor=own,
        markeredgewidth=1.6,
        zorder=3,
    )


# Learning curves ------------------------------------------------------------------------------


def _draw_loss(ax: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    validated = [record for record in records if record["split"] == "validation"]
    quantity = next(
        (key for key in ("loss", "reconstruction") if any(_number(r, key) is not None for r in validated)),
        "loss",
    )
    ends: list[tuple[str, str, float, float]] = []  # (label, colour, step, value)
    for steps, values in _curves(records, "train", quantity):
        ax.plot(steps, values, color=MUTED, linewidth=0.6, alpha=0.35)
        smooth = _smoothed(values)
        ax.plot(steps, smooth, color=MUTED, linewidth=1.8)
        ends.append(("train", MUTED, steps[-1], smooth[-1]))
    for steps, values in _curves(records, "validation", quantity):
        ax.plot(steps, values, color=colour("student"), linewidth=1.8, marker="o", markersize=3.0)
        ends.append(("validation", colour("student"), steps[-1], values[-1]))
    for reference in REFERENCES:
        for steps, values in _curves(records, "validation", reference):
            ax.plot(steps, values, color=colour("teacher_probe"), linewidth=1.2, linestyle="--")
            label = reference.replace("_", " ")
            ends.append((label, colour("teacher_probe"), steps[-1], values[-1]))
    ax.set_ylabel(quantity if quantity == "loss" else f"{quantity} loss")
    _cut_off_the_start(ax, records, quantity)
    _label_ends(ax, ends)
    quiet_grid(ax)


def _draw_validation_r2(ax: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    curves = _curves(records, "validation", "r2")
    if not curves:
        ax.set_axis_off()
        return
    for steps, values in curves:
        best = int(np.argmax(values))
        ax.plot(steps, values, color=colour("student"), linewidth=1.8, marker="o", markersize=3.0)
        ax.plot(steps[best], values[best], "o", color=INK, markersize=6.0, fillstyle="none")
    best_value = max(float(values.max()) for _, values in curves)
    title = f"circle: best, {number(best_value, digits=2)}"
    ax.set_title(title, fontsize=9, weight="normal")
    ax.set_ylabel("validation R²")
    quiet_grid(ax)


def _curves(
    records: Sequence[Mapping[str, Any]], split: str, key: str
) -> list[tuple[FloatArray, FloatArray]]:
    """(steps, values) of one quantity, one curve per seed."""
    by_seed: dict[Any, list[tuple[float, float]]] = {}
    for record in records:
        value = _number(record, key)
        if record["split"] == split and value is not None:
            by_seed.setdefault(record.get("seed"), []).append((float(record["step"]), value))
    return [(points[:, 0], points[:, 1]) for points in map(np.array, by_seed.values())]


def _number(record: Mapping[str, Any], key: str) -> float | None:
    value = record.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _smoothed(values: FloatArray) -> FloatArray:
    """Running mean over about a twentieth of the curve, over what there is at its ends."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], values.cumsum()])
    index = np.arange(len(values))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first), dtype=np.float64)


def _cut_off_the_start(ax: Axes, records: Sequence[Mapping[str, Any]], quantity: str) -> None:
    """Leave out the first steps' losses where they would flatten the rest of the curve."""
    values = [v for record in records if (v := _number(record, quantity)) is not None]
    if len(values) < 20:
        return
    references = [v for r in records for key in REFERENCES if (v := _number(r, key)) is not None]
    low, high = ax.get_ylim()
    top = max([float(np.quantile(values, 0.98)), *references])
    if top > low:
        ax.set_ylim(low, min(high, top + 0.08 * (top - low)))


def _label_ends(ax: Axes, ends: Sequence[tuple[str, str, float, float]]) -> None:
    """Names at the right end of the curves, moved apart where they would overlap."""
    by_name = {name: (own, value) for name, own, _, value in ends}
    low, high = ax.get_ylim()
    heights = [min(max((value - low) / (high - low), 0.0), 1.0) for _, value in by_name.values()]
    placed = spread_labels(heights, gap=0.11)
    for (name, (own, _)), height in zip(by_name.items(), placed, strict=True):
        ax.annotate(
            name,
            xy=(1.0, height),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=own,
        )
