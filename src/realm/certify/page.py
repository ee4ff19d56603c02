"""The page of the certificate: one HTML file that needs no other, and prints on a few sheets."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

SCOPE = (
    "This page shows measurements of one decoder on one machine at one time. They hold only for "
    "the bundle with this hash on this machine; measure again if either changes. This page makes "
    "no statement about the safety of a subject, and a hash is not the signature of a person."
)


def render(content: Mapping[str, Any]) -> str:
    """The page of a certificate's JSON."""
    body = [_head(content), _facts(content)]
    body += [_part(content, part) for part in content["parts"]]
    body.append(f"<h2>What this page shows, and what it does not</h2><p>{SCOPE}</p>{_signatures()}")
    title = f"Certificate of decoding: {html.escape(content['bundle']['session_id'])}"
    before, rest = _PAGE.split("{title}")
    between, after = rest.split("{body}")
    return "".join([before, title, between, "\n".join(body), after])


def number(value: float | None) -> str:
    """Three digits, whole numbers whole; what is unknown is a dash."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if abs(value) < 0.001:
        return f"{value:.2g}"
    return f"{value:.3g}" if abs(value) < 0.99 or abs(value) >= 1 else f"{value:.4f}"


def _head(content: Mapping[str, Any]) -> str:
    failed = [check for check in content["checks"] if not check["passed"]]
    total = len(content["checks"])
    kind = "good" if content["passed"] else "bad"
    verdict = (
        f"All {total} checks passed"
        if content["passed"]
        else (f"{len(failed)} of {total} checks failed")
    )
    named = "".join(
        f"<li>{html.escape(check['part'])}: {html.escape(check['name'])}</li>" for check in failed
    )
    return f'<h1>Certificate of decoding</h1><p class="verdict {kind}">{verdict}</p>' + (
        f"<ul>{named}</ul>" if named else ""
    )


def _facts(content: Mapping[str, Any]) -> str:
    bundle, machine, effort = content["bundle"], content["machine"], content["effort"]
    versions = ", ".join(f"{k} {v}" for k, v in content["versions"].items() if v)
    rows = {
        "Bundle": f"<code>{html.escape(bundle['sha256'])}</code> (SHA-256)",
        "Session": _text(f"{bundle['session_id']}, subject {bundle['subject']}"),
        "Input": _text(
            f"{bundle['channels']} channels ({bundle['dead_channels']} dead in training), "
            f"{bundle['sampling_rate_hz']:g} Hz"
        ),
        "Output": _text(
            f"{', '.join(bundle['behavior'])} ({bundle['target']}, {bundle['behavior_unit']}), "
            f"every {bundle['bin_ms']:g} ms, lookahead {bundle['lookahead_ms']:g} ms"
        ),
        "Decoder": _text(
            f"{bundle['student']}; student with {bundle['engine']}, signal chain with "
            f"{bundle['signal_engine']}"
        ),
        "Machine": _text(
            f"{machine['name']}: {machine['cpu'] or 'unknown processor'}, {machine['cores']} "
            f"cores, {number(machine['memory_gb'])} GB, {machine['system']}, load "
            f"{number(machine['load_before'])}, frequency governor "
            f"{machine['frequency_governor'] or 'unknown'}"
        ),
        "Versions": _text(versions),
        "Measured": _text(
            f"{content['date'].replace('T', ' ').replace('+00:00', ' UTC')}, "
            f"{content['duration_s']:.0f} s, seed {content['seed']}"
        ),
        "Signal": _text(content["signal"]),
        "Effort": _text(
            f"{effort['trials']} random cuts and chunkings, each fault at {effort['placements']} "
            f"random place(s), {effort['mutations']} damaged copies, {effort['paced_s']:g} s at "
            f"real pace, {effort['hours']:g} h of stream at maximum speed"
        ),
    }
    lines = "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in rows.items())
    return f'<table class="facts">{lines}</table>'


def _part(content: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    def here(kind: str) -> list[Any]:
        return [found for found in content[kind] if found["part"] == part["title"]]

    rows, told = [], ""
    for found in here("checks") + here("readings"):
        rows.append(_row(found, "" if found["detail"] == told else found["detail"]))
        told = found["detail"]
    table = f'<table class="found"><tbody>{"".join(rows)}</tbody></table>'
    curves = "".join(drawn(curve) for curve in here("curves"))
    added = f" (added by {part['added_by']})" if "added_by" in part else ""
    return (
        f"<section><h2>{_text(part['title'])} <small>{_text(part['question'] + added)}</small></h2>"
        f"{table if rows else ''}{curves}</section>"
    )


def _row(found: Mapping[str, Any], detail: str) -> str:
    kind, word, limit = "plain", "no limit", ""
    if "passed" in found:
        kind, word = ("good", "passed") if found["passed"] else ("bad", "failed")
        limit = f"{found['rule']} {number(found['limit'])}"
    value = "–" if found["value"] is None else f"{number(found['value'])} {found['unit']}"
    said = f"<div>{_text(detail)}</div>" if detail else ""
    if found.get("catches"):
        said = f"<div>would catch: {_text(found['catches'])}</div>{said}"
    return (
        f'<tr><td><span class="{kind}">{word}</span></td><td>{_text(found["name"])}{said}</td>'
        f'<td class="n">{_text(value)}</td><td>{_text(limit)}</td></tr>'
    )


def _signatures() -> str:
    lines = "".join(f"<td><span></span>{name}</td>" for name in ("Name", "Date", "Signature"))
    return f'<table class="sign"><tr>{lines}</tr></table>'


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root { --ink: #1d1d1f; --muted: #5c5c62; --paper: #ffffff; --line: #d6d6da; --bar: #3d6ea5;
  --good: #1a6b38; --good-back: #e4f3e8; --bad: #a3181c; --bad-back: #fbe6e6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --muted: #a5a5ad; --paper: #17171a; --line: #3a3a40; --bar: #7aa7d9;
    --good: #86d6a0; --good-back: #1c3325; --bad: #ff9a9a; --bad-back: #42191b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 58rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.8rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 0.4rem; }
h2 small { color: var(--muted); font-weight: 400; font-size: 0.9rem; margin-left: 0.4rem; }
p { max-width: 46rem; }
.verdict { font-size: 1.1rem; font-weight: 650; padding: 0.6rem 0.9rem; border-radius: 6px;
  max-width: none; }
.verdict.good { background: var(--good-back); } .verdict.bad { background: var(--bad-back); }
.good { color: var(--good); } .bad { color: var(--bad); } .plain { color: var(--muted); }
span.good, span.bad { font-weight: 650; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.6rem 0.3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--muted); font-weight: 600; }
.facts th { width: 6rem; }
.found td:first-child { width: 4.6rem; } .found td:nth-child(3) { width: 10.5rem; }
.found td:last-child { width: 7rem; }
.found { table-layout: fixed; }
td.n { text-align: right; padding-right: 1.2rem; font-variant-numeric: tabular-nums; }
td div { color: var(--muted); font-size: 0.82rem; line-height: 1.4; }
code { font: 0.85em ui-monospace, SFMono-Regular, Menlo, monospace; }
figure { margin: 1rem 0 0; max-width: 44rem; }
figcaption { font-weight: 600; font-size: 0.9rem; }
svg { display: block; width: 100%; height: auto; font-size: 11px; }
svg text { fill: var(--muted); } .bar { fill: var(--bar); }
.line { fill: none; stroke: var(--bar); stroke-width: 1.5; }
.axis { stroke: var(--muted); } .level { stroke: var(--line); stroke-width: 0.6; }
line.mark { stroke: var(--bad); stroke-dasharray: 4 3; } svg text.mark { fill: var(--bad); }
.sign { margin-top: 3.5rem; } .sign td { border: 0; width: 33%; color: var(--muted); }
.sign span { display: block; border-top: 1px solid var(--ink); margin-right: 1.5rem; }
@media (max-width: 34rem) {
  .found td:nth-child(3) { width: 6rem; } .found td:last-child { width: 5rem; }
}
@media print {
  :root { --ink: #000; --muted: #444; --paper: #fff; --line: #bbb; --bar: #3d6ea5;
    --good: #1a6b38; --good-back: #fff; --bad: #a3181c; --bad-back: #fff; }
  @page { size: A4; margin: 16mm 15mm; }
  body { padding: 0; max-width: none; font-size: 9.5pt; line-height: 1.35; }
  h2 { margin-top: 1.1rem; } th, td { padding-top: 0.15rem; padding-bottom: 0.15rem; }
  .found td:nth-child(3) { width: 8rem; }
  .verdict { border: 1.5px solid currentColor; }
  tr, figure, .sign { break-inside: avoid; } h2 { break-after: avoid; }
  figure { max-width: 11.5cm; }
}
</style>
</head>
<body>
{body}
</body>
</html>
"""


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
