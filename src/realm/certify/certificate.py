"""Running all parts, and what is written of them: `certificate.json` and `certificate.html`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from realm.certify.check import Check, Curve, Finding, Reading
from realm.certify.machine import machine, versions
from realm.certify.page import render
from realm.certify.registry import PARTS, Part
from realm.certify.synthetic import draw_signal
from realm.certify.trial import Effort, Trial
from realm.certify.truth import read_signal
from realm.files import make_folder, write_json, write_text
from realm.streaming import Bundle, StreamingDecoder

FORMAT, SCHEMA = "realm-certificate", 1
JSON, HTML = "certificate.json", "certificate.html"

Report = Callable[[str, int, int], None]  # title of the part, done, of


def _silent(title: str, done: int, of: int) -> None:
    """Tell nobody how far it is."""


class Section(NamedTuple):
    """What one part found."""

    part: Part
    findings: list[Finding]
    seconds: float


def certify(
    folder: Path | str,
    out: Path | str,
    effort: Effort,
    *,
    recording: Path | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> dict[str, Any]:
    """Examine a bundle on this machine and write the certificate; returns its JSON.

    Raises:
        ValueError: the bundle or the recording cannot be used.
        OSError: the folder cannot be written.
    """
    out, say = make_folder(out), report or _silent
    before = machine()
    trial = subject(Path(folder), effort, recording, seed, say)
    content = examine(trial, PARTS, say, before)
    write_json(out / JSON, content)
    write_text(out / HTML, render(content))
    return content


def examine(
    trial: Trial, parts: Iterable[Part], report: Report, before: dict[str, Any]
) -> dict[str, Any]:
    """Run parts one after the other; the JSON of the certificate.

    `before` is the machine as it was before anything ran on it.
    """
    begun, sections = time.perf_counter(), []
    date = datetime.now(UTC).isoformat(timespec="seconds")
    for part in parts:
        start = time.perf_counter()
        told = replace(trial, report=partial(report, part.title))
        told.__dict__["decoder"] = trial.decoder  # made once
        report(part.title, 0, 1)
        findings = part.run(told)
        sections.append(Section(part, findings, time.perf_counter() - start))
    return _content(trial, sections, before, date, time.perf_counter() - begun)


def subject(
    folder: Path, effort: Effort, recording: Path | None, seed: int, report: Report
) -> Trial:
    """The decoder of a bundle and a signal for it."""
    bundle = Bundle.load(folder)
    if recording is None:
        signal = draw_signal(bundle.chain, effort.signal_s, seed, partial(report, "Signal"))
    else:
        report("Signal", 0, 1)
        signal = read_signal(recording, bundle.chain, effort.signal_s)
    return Trial(
        folder,
        lambda precision, plain: StreamingDecoder.load(folder, precision, plain),
        signal,
        effort,
        seed,
        recording,
    )


def _content(
    trial: Trial, sections: list[Section], before: dict[str, Any], date: str, seconds: float
) -> dict[str, Any]:
    def of(kind: type) -> list[dict[str, Any]]:
        return [
            {"part": section.part.title, **found._asdict()}
            for section in sections
            for found in section.findings
            if isinstance(found, kind)
        ]

    checks = of(Check)
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "passed": bool(checks) and all(check["passed"] for check in checks),
        "date": date,
        "duration_s": round(seconds, 1),
        "seed": trial.seed,
        "signal": trial.signal.source,
        "effort": trial.effort._asdict(),
        "bundle": _bundle(trial.decoder),
        "machine": before,
        "versions": versions(),
        "checks": checks,
        "readings": of(Reading),
        "curves": of(Curve),
        "parts": [
            {
                "title": section.part.title,
                "question": section.part.question,
                "duration_s": round(section.seconds, 2),
            }
            for section in sections
        ],
    }


def _bundle(decoder: StreamingDecoder) -> dict[str, Any]:
    bundle, sizes = decoder.bundle, decoder.bundle.sizes
    return {
        "sha256": bundle.sha256,
        "session_id": bundle.session_id,
        "subject": bundle.subject,
        "channels": bundle.chain.n_channels,
        "dead_channels": len(bundle.chain.dead_channels),
        "sampling_rate_hz": decoder.sampling_rate_hz,
        "bin_ms": decoder.bin_ms,
        "lookahead_ms": bundle.lookahead_bins * decoder.bin_ms,
        "behavior": list(bundle.behavior_names),
        "behavior_unit": bundle.behavior_unit,
        "target": bundle.target,
        "quorum": bundle.quorum,
        "student": f"{sizes.layers} layers, width {sizes.d_model}, state {sizes.d_state}",
        "engine": decoder.engine,
        "signal_engine": decoder.signal_engine,
        "made_with": dict(bundle.versions),
    }
