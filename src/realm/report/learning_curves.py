"""Learning curves from the records that training leaves in `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from realm.report.style import INK, MUTED, colour, figure_file, quiet_grid, spread_labels
from realm.report.tables import number

FloatArray = NDArray[np.float64]

# Errors that a reconstruction must beat, drawn beside it where they were measured.
REFERENCES = ("channel_mean", "interpolation")


def read_metrics(path: Path | str, stage: str | None = None) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; `stage` names those that do not say it themselves.

    A last line that a killed run left half written is skipped.

    Raises:
        ValueError: there is no such file.
    """
    records = []
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected training records here, found none; train first")
    for line in path.read_text(encoding="utf-8").splitlines():
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


def _draw_loss(ax: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    validated = [record for record in records if record["split"] == "validation"]
    quantity = next(
        (
            key
            for key in ("loss", "reconstruction")
            if any(_number(r, key) is not None for r in validated)
        ),
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
