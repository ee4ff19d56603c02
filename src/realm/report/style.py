"""How figures look: one colour and marker per method everywhere, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realm.files import atomic_path
from realm.methods.registry import look

INK = "#222222"
MUTED = "#767676"
TRUTH = "#A6A6A6"  # drawn wide, under the decoded lines

# For methods that name no colour. The others have Okabe & Ito's palette without its yellow, which
# cannot be read on white.
_SPARE = ("#444444", "#005F56", "#5C6BC0")
_SPARE_MARKERS = ("p", "h", "*")

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "lines.solid_capstyle": "round",
}


def colour(method: str) -> str:
    """The method's colour, the same in every figure."""
    return look(method).colour or _SPARE[sum(method.encode()) % len(_SPARE)]


def marker(method: str) -> str:
    """The method's marker, so that colour is never the only difference."""
    return look(method).marker or _SPARE_MARKERS[sum(method.encode()) % len(_SPARE_MARKERS)]


@contextmanager
def figure_file(path: Path | str, width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, written to `path` as PNG when the block ends without error.

    Drawn without a display and without touching matplotlib's global state.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=144)


def quiet_grid(axes: Axes, axis: str = "y") -> None:
    """A grid that helps to read values and stays behind them."""
    axes.grid(axis=axis, color="#E4E4E4", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def spread_labels(positions: list[float], gap: float) -> list[float]:
    """Move labels apart until neighbours are at least `gap` from each other; order is kept."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    groups: list[tuple[list[int], float]] = []  # (labels, their common centre)
    for index in order:
        members, centre = [index], positions[index]
        while groups and _reach(*groups[-1], gap) > centre - gap * (len(members) - 1) / 2 - gap:
            before, _ = groups.pop()
            members = before + members
            centre = sum(positions[i] for i in members) / len(members)
        groups.append((members, centre))
    placed = list(positions)
    for members, centre in groups:
        for rank, index in enumerate(members):
            placed[index] = centre + gap * (rank - (len(members) - 1) / 2)
    return placed


def _reach(members: list[int], centre: float, gap: float) -> float:
    return centre + gap * (len(members) - 1) / 2
