"""An inspection as lines of text that fit one screen of 80 by 24."""

from __future__ import annotations

import textwrap
from pathlib import Path

from realm.inspection.inspection import Inspection

WIDTH, HEIGHT = 80, 24
BEHAVIORS = 3
PARTLY = 0.98  # behavior that is known for less says from when to when


def screen(inspection: Inspection) -> list[str]:
    """At most 23 lines of at most 80 characters, so that the prompt fits below."""
    verdict, findings = _verdict(inspection), _findings(inspection)
    top = [*_what(inspection), "", verdict]
    room = HEIGHT - 1 - len(top)
    if len(findings) > room:
        left = len(findings) - room + 1
        findings = [*findings[: room - 1], f"... {left} more lines; --json has everything"]
    return [*top, *findings]


def _what(found: Inspection) -> list[str]:
    lines = [_cut(f"{Path(found.file).name}: {found.format}")]
    if found.neural is None:
        return lines
    neural = found.neural
    lines[0] = _cut(f"{lines[0]}, session {found.session_id}, subject {found.subject}")
    where = f"; {', '.join(neural.regions)}" if neural.regions else ""
    lines.append(
        _row(
            "samples",
            f"{neural.channels} channel{'s' * (neural.channels != 1)} of {neural.bits} bits{where}",
        )
    )
    lines.append(
        _row(
            "time",
            f"{neural.duration_s:.1f} s at {neural.sampling_rate_hz:g} Hz from "
            f"{neural.start_s:.3f} s, {len(found.gaps) or 'no'} gap{'s' * (len(found.gaps) != 1)}",
        )
    )
    if found.samples is not None:
        low, typical, high = (value * 1e6 for value in found.samples.scale_v)
        line = "no line noise"
        if found.samples.lines:
            line = f"line at {found.samples.lines[0].hz:.1f} Hz"
        lines.append(
            _row("amplitude", f"{typical:.3g} uV typical ({low:.3g} to {high:.3g}), {line}")
        )
    for behavior in found.behaviors[:BEHAVIORS]:
        text = f"{behavior.path}: cannot be used"
        if not behavior.error:
            text = (
                f"{behavior.path}: {len(behavior.names)} x {behavior.unit}, "
                f"{behavior.rate_hz:.4g} Hz, {100 * behavior.known:.0f}% known"
            )
            if behavior.known < PARTLY:
                text += f", {behavior.start_s:.1f} to {behavior.stop_s:.1f} s"
        lines.append(_row("behavior", text))
    if len(found.behaviors) > BEHAVIORS:
        lines.append(_row("", f"and {len(found.behaviors) - BEHAVIORS} more series"))
    return lines + _suggested(found)


def _suggested(found: Inspection) -> list[str]:
    suggestion = found.suggestion
    if suggestion is None:
        text = "none: no behavior here; recording.toml can name its channels or file"
        if found.behaviors:
            text = "none: the behavior cannot be used as it is"
        return [_row("recipe", text)] if found.neural else []
    bands = ", ".join(
        f"{name} {low:g}-{high:g}"
        for name, (low, high) in {"slow": suggestion.slow_hz, **suggestion.bands_hz}.items()
    )
    lag = "too little behavior to find the lag"
    if suggestion.lag is not None:
        lag = "no clear lag"
        if suggestion.lag.other_ms is not None:
            lag = "no lag: two are as likely"
        if suggestion.lag.lag_ms is not None:
            word = "precede" if suggestion.lag.lag_ms >= 0 else "follow"
            lag = f"features {word} it by {abs(suggestion.lag.lag_ms):.0f} ms"
            if suggestion.lag.error_ms is not None:
                lag += f" (+/- {suggestion.lag.error_ms:.0f})"
    return [
        _row("recipe", f"{suggestion.target} of {suggestion.behavior}; {lag}"),
        _row("", f"bins of {suggestion.bin_ms:g} ms, windows of {suggestion.window_s:g} s"),
        _row("", f"Hz: {bands}"),
    ]


def _verdict(found: Inspection) -> str:
    n = len(found.faults)
    faults = f"{n} fault{'s' * (n > 1)}"
    if found.fit and "decode" not in found.fit_for:
        return "FIT to pretrain on without labels, no fault found; nothing here to decode"
    if found.fit:
        return "FIT: no fault found"
    if found.fit_for == ("pretrain",):
        return f"NOT FIT to be decoded or scored: {faults}; fit to pretrain on without labels"
    return f"USABLE, {faults} masked" if found.usable else f"NOT FIT: {faults}"


def _findings(found: Inspection) -> list[str]:
    texts = [f"{fault.fault}: {_without_name(fault.text, found.file)}" for fault in found.faults]
    texts += [f"note: {note}" for note in found.notes]
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]


def _without_name(text: str, file: str) -> str:
    return text.removeprefix(f"{file}: ")


def _row(name: str, text: str) -> str:
    return _cut(f"{name:10} {text}")


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
