"""Curves of a certificate as SVG that stands in a page by itself."""

from __future__ import annotations

import html
import math
from typing import Any

WIDTH, HEIGHT = 640, 210
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 22, 40


def drawn(curve: dict[str, Any]) -> str:
    """Bars over a logarithmic axis where there is one more x than y, else a line."""
    x, y = curve["x"], curve["y"]
    if not y:
        return ""
    shape = _bars(curve) if len(x) == len(y) + 1 else _line(curve)
    label = html.escape(curve["name"], quote=True)
    return (
        f'<figure><figcaption>{label}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}">{shape}</svg></figure>'
    )


def _bars(curve: dict[str, Any]) -> str:
    x, y, mark = curve["x"], curve["y"], curve["mark"]
    ends = [x[0], x[-1], *([mark] if mark else [])]
    low, high = math.log10(min(ends)) - 0.05, math.log10(max(ends)) + 0.15
    top = math.log10(max(max(y), 10)) * 1.05  # a logarithm, or one late step would not be seen

    def across(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(count: float) -> float:  # a single one has some height
        share = (math.log10(count) + 0.15) / (top + 0.15)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    bottom = HEIGHT - BOTTOM
    parts = [
        f'<rect class="bar" x="{across(x[i]):.1f}" y="{up(n):.1f}" '
        f'width="{max(1.0, across(x[i + 1]) - across(x[i])):.1f}" height="{bottom - up(n):.1f}"/>'
        for i, n in enumerate(y)
        if n > 0
    ]
    for power in range(math.floor(low), math.floor(high) + 1):
        for digit in (1, 2, 5):
            if low <= math.log10(digit * 10.0**power) <= high:
                value = digit * 10.0**power
                parts.append(_tick(across(value), bottom + 15, f"{value:g}"))
    for power in range(int(top) + 1):
        parts.append(_level(up(10**power), f"{10**power:,}".replace(",", " ")))
    if mark:
        at = across(mark)
        parts.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
            f'<text class="mark" x="{at - 5:.1f}" y="{TOP + 4}" text-anchor="end">'
            f"{html.escape(curve['mark_label'])}</text>"
        )
    return "".join([*parts, _frame(curve)])


def _line(curve: dict[str, Any]) -> str:
    x, y = curve["x"], curve["y"]
    middle, half = (max(y) + min(y)) / 2, max((max(y) - min(y)) * 0.6, 1.0)
    low, high = max(0.0, middle - half), middle + half
    span = max(x) - min(x) or 1.0

    def place(a: float, b: float) -> tuple[float, float]:
        return (
            LEFT + (a - min(x)) / span * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (b - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(place, x, y))
    parts = [f'<polyline class="line" points="{points}"/>']
    for share in (0.1, 0.5, 0.9):
        level = low + share * (high - low)
        parts.append(_level(place(x[0], level)[1], f"{level:.1f}"))
        value = min(x) + share * span
        parts.append(_tick(place(value, low)[0], HEIGHT - BOTTOM + 15, f"{value:.3g}"))
    return "".join([*parts, _frame(curve)])


def _tick(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _level(y: float, text: str) -> str:
    return (
        f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _frame(curve: dict[str, Any]) -> str:
    bottom = HEIGHT - BOTTOM
    return (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{html.escape(curve['x_label'])}</text>"
        f'<text x="4" y="{TOP - 9}">{html.escape(curve["y_label"])}</text>'
    )
