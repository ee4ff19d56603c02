"""A day of stream at maximum speed: do latency and memory stay the same?

    python -m benchmarks.endurance --out FOLDER [--hours 24] [--quick]

A decoder of the middle size, a student of 3 layers d 128 on 96 channels at 1 kHz, decodes raw
samples to behavior, a bin of 10 ms at a time: 8.64 million bins in 24 hours of stream. The weights
are random, which costs the same as trained ones. It takes up to an hour on an idle machine, and is
judged with the limits of `realm certify`. The exit code is 1 if a limit is not kept.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the numerical libraries are loaded
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.made_up import TINY, Size, made_decoder
from realm.certify import endurance, timing
from realm.certify.check import Check, Curve, Finding, Reading
from realm.certify.environment import machine, versions
from realm.certify.signals import draw_signal
from realm.files import write_json, write_text
from realm.streaming import StreamingDecoder

SIGNAL_S = 60.0  # of different signal
MIDDLE = Size(96, 3, 128, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the findings and write `endurance.json` and `endurance.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of stream")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    options = parser.parse_args(arguments)
    decoder, before = made_decoder(TINY if options.quick else MIDDLE), machine()
    findings = measure(decoder, options.hours)
    lines = [line(found) for found in findings if not isinstance(found, Curve)]
    print("\n".join(lines))
    write(options.out, findings, lines, before, options.quick)
    raise SystemExit(any(isinstance(found, Check) and not found.passed for found in findings))


def measure(decoder: StreamingDecoder, hours: float) -> list[Finding]:
    """The findings of `realm certify` on a stream of this many hours."""
    signal = draw_signal(decoder.bundle.chain, SIGNAL_S, 0, lambda done, of: None)
    bins = max(endurance.PARTS, round(3.6e6 * hours / decoder.bin_ms))
    shown = [TextColumn("{task.percentage:3.0f}%"), BarColumn(), TimeRemainingColumn()]
    with Progress(*shown, auto_refresh=False, transient=True) as bars, timing.as_live():
        task = bars.add_task("", total=bins)

        def report(done: int, of: int) -> None:
            bars.update(task, completed=done)
            bars.refresh()

        found = endurance.endure(decoder, signal.samples, bins, report)
    return endurance.judged(decoder, found)


def line(found: Check | Reading) -> str:
    """A finding in one line."""
    value = "not measured" if found.value is None else f"{found.value:.4g}"
    text = f"{found.name}: {value} {found.unit}"
    if isinstance(found, Check):
        word = "kept" if found.passed else "not kept"
        text += f", limit {found.rule} {found.limit:g}, {word}"
    return f"{text}; {found.detail}"


def write(
    folder: Path, findings: list[Finding], lines: list[str], before: dict[str, Any], quick: bool
) -> None:
    """Write the findings with the machine they belong to."""
    here = {**before, **versions()}
    kept = [{"kind": type(found).__name__, **found._asdict()} for found in findings]
    write_json(folder / "endurance.json", {"machine": here, "quick": quick, "findings": kept})
    warning = "Tiny sizes: these numbers mean nothing.\n\n" if quick else ""
    named = "\n".join(f"- {key}: {value}" for key, value in here.items())
    body = "\n".join(f"- {one}" for one in lines)
    write_text(folder / "endurance.md", f"# Endurance\n\n{warning}{body}\n\n{named}\n")


if __name__ == "__main__":
    main()
