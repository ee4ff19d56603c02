"""Runs all parts and writes `certificate.json` and `certificate.html`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from realm import extensions
from realm.certify.check import Check, Curve, Effort, Finding, Part, Reading, Trial, not_measured
from realm.certify.endurance import check_endurance
from realm.certify.environment import machine, versions
from realm.certify.exactness import check_causality, check_chunking, check_resuming
from realm.certify.faults import check_quorum, check_recovery, read_dead_channels
from realm.certify.files import check_integrity
from realm.certify.live_loop import check_live_loop
from realm.certify.long_faults import check_long_faults
from realm.certify.network import check_sockets
from realm.certify.page import render
from realm.certify.purity import check_purity
from realm.certify.quality import check_quality
from realm.certify.signals import draw_signal, read_likeness, read_signal, read_truth
from realm.certify.timing import check_pace, check_start
from realm.certify.trained import check_precision, check_reference
from realm.files import make_folder, write_json, write_text
from realm.streaming import Bundle, StreamingDecoder

FORMAT, SCHEMA = "realm-certificate", 1
JSON, HTML = "certificate.json", "certificate.html"

Report = Callable[[str, int, int], None]  # title of the part, done, of

PARTS = (
    Part("Signal", "Is this signal like the signal of the training?", read_likeness),
    Part("Bundle", "Are the files whole, and is damage found?", check_integrity),
    Part("Reference", "Is what runs live what was trained?", check_reference),
    Part("Causality", "Can a later sample change an earlier output?", check_causality),
    Part(
        "Chunks", "Does the output depend on how the samples are cut into chunks?", check_chunking
    ),
    Part("Resuming", "Does a saved stream resume with the same outputs?", check_resuming),
    Part("Purity", "Is what is passed in left alone, and nothing else remembered?", check_purity),
    Part("Precision", "Does the live decoder agree with the exact one?", check_precision),
    Part("Faults", "Is the output finite during faults, and soon right again?", check_recovery),
    Part("Long faults", "Is a channel that was bad for long trusted again?", check_long_faults),
    Part("Quality", "Does the record of each bin say what was wrong?", check_quality),
    Part("Quorum", "Is the output neutral when too few channels are good?", check_quorum),
    Part("Dead channels", "How much of the output is left when channels die?", read_dead_channels),
    Part("Accuracy", "How well is the behavior of the recording decoded?", read_truth),
    Part("Live loop", "Is the last row safe whatever arrives?", check_live_loop),
    Part("Start", "How long after a start comes the first output?", check_start),
    Part("Real pace", "Is each step in time when samples come as from an amplifier?", check_pace),
    Part("Endurance", "Do latency and memory stay constant?", check_endurance),
    Part("Network", "Does decoding open or use any socket?", check_sockets),
)


def _silent(title: str, done: int, of: int) -> None:
    """Report no progress."""


def all_parts() -> tuple[Part, ...]:
    """Our parts, then those that other packages add.

    Raises:
        ValueError: a package adds something else, or a part with a title that is taken.
    """
    parts = list(PARTS)
    for name in extensions.names("checks", ()):
        part = extensions.load("checks", name)
        origin = extensions.found("checks")[name].value
        if not isinstance(part, Part):
            raise ValueError(
                f"realm.checks: expected {name} ({origin}) to be a realm.certify.check.Part, got "
                f"{type(part).__name__}; correct or remove that package"
            )
        if part.title in [other.title for other in parts]:
            raise ValueError(
                f"realm.checks: expected a new title for {name} ({origin}), got {part.title!r}, "
                "which is taken; rename it or remove that package"
            )
        parts.append(part._replace(added_by=origin))
    return tuple(parts)


class Section(NamedTuple):
    """The findings of one part."""

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
    parts: Iterable[Part] | None = None,
) -> dict[str, Any]:
    """Examine a bundle on this machine and write the certificate; returns its JSON.

    Args:
        folder: of the bundle.
        out: folder for the two files.
        effort: how much is measured.
        recording: a recording file to measure with; None for a synthetic signal.
        seed: of all random numbers.
        report: is called with the title of a part, what is done, and of how much.
        parts: what is examined; None for `all_parts`.

    Raises:
        ValueError: the bundle or the recording cannot be used.
        OSError: the folder cannot be written.
    """
    out, say = make_folder(out), report or _silent
    before = machine()
    parts = all_parts() if parts is None else parts
    trial = subject(Path(folder), effort, recording, seed, say)
    content = examine(trial, parts, say, before)
    write_json(out / JSON, content)
    write_text(out / HTML, render(content))
    return content


def examine(
    trial: Trial, parts: Iterable[Part], report: Report, before: dict[str, Any]
) -> dict[str, Any]:
    """Run the parts one after the other; returns the JSON of the certificate.

    `before` is the machine as it was before anything ran on it.
    """
    begun, sections = time.perf_counter(), []
    date = datetime.now(UTC).isoformat(timespec="seconds")
    for part in parts:
        start = time.perf_counter()
        told = replace(trial, report=partial(report, part.title))
        told.__dict__["decoder"] = trial.decoder  # made once
        report(part.title, 0, 1)
        findings = _findings(part, told)
        sections.append(Section(part, findings, time.perf_counter() - start))
    return _content(trial, sections, before, date, time.perf_counter() - begun)


def _findings(part: Part, trial: Trial) -> list[Finding]:
    """What a part finds; a part that ends with an error is a check that is not passed."""
    try:
        findings = part.run(trial)
        if not all(isinstance(found, Check | Reading | Curve) for found in findings):
            raise TypeError("expected only Check, Reading and Curve")
    except Exception as error:
        why = f"{part.added_by or 'it'} failed with {type(error).__name__}: {error}"
        return [not_measured(part.title, "", 0, why)]
    return findings


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
                **({"added_by": section.part.added_by} if section.part.added_by else {}),
            }
            for section in sections
        ],
    }


def _bundle(decoder: StreamingDecoder) -> dict[str, Any]:
    bundle = decoder.bundle
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
        "student": bundle.sizes.summary(),
        "engine": decoder.engine,
        "signal_engine": decoder.signal_engine,
        "made_with": dict(bundle.versions),
    }
