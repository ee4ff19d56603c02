"""A day of stream at maximum speed: whether latency and memory stay as they are.

    python -m benchmarks.endurance --out FOLDER [--hours 24] [--quick]

A decoder of the middle size, a student of 3 layers d 128 on 96 channels at 1 kHz, decodes raw
samples to behavior, a bin of 10 ms at a time: 8.64 million bins in 24 hours of stream. The weights
are random, which costs the same as trained ones. It takes a good part of an hour on an idle
machine, and is judged with the limits of `realm certify`. Exits with 1 if one is not kept.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the numerical libraries are loaded
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.made_up import random_weights
from realm.certify import endurance
from realm.certify.check import Check, Curve, Finding, Reading
from realm.certify.machine import machine, versions
from realm.certify.synthetic import draw_signal
from realm.files import write_json, write_text
from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

RATE_HZ, VOLTS, SIGNAL_S = 1000.0, 1e-4, 60.0


class Size(NamedTuple):
    """A decoder to let run."""

    channels: int
    layers: int
    d_model: int
    d_state: int


MIDDLE, TINY = Size(96, 3, 128, 64), Size(4, 1, 16, 8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Let it run, print what was found and write `endurance.json` and `endurance.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of stream")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs at all")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    options = parser.parse_args(arguments)
    decoder, before = made_decoder(TINY if options.quick else MIDDLE), machine()
    findings = measure(decoder, options.hours)
    lines = [line(found) for found in findings if not isinstance(found, Curve)]
    print("\n".join(lines))
    write(options.out, findings, lines, before, options.quick)
    raise SystemExit(any(isinstance(found, Check) and not found.passed for found in findings))


def made_decoder(size: Size) -> StreamingDecoder:
    """A fitted chain with every stage and a student with random weights."""
    rng = np.random.default_rng(0)
    training = VOLTS * rng.normal(size=(8000, size.channels))
    names = [f"ch{i:02d}" for i in range(size.channels)]
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE_HZ, names).fit_guard(training)
    chain = chain.fit_normalization(chain.forward(training))
    sizes = StudentSizes(
        size.channels * chain.n_bands,
        2,
        size.layers,
        size.d_model,
        size.d_state,
        headdim=min(64, size.d_model),
        expand=2,
        conv_kernel=4,
    )
    weights = random_weights(sizes, rng)
    bundle = Bundle(
        session_id="endurance",
        subject="none",
        chain=chain,
        sizes=sizes,
        weights=weights,
        lookahead_bins=0,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, 0.0),
    )
    return StreamingDecoder(bundle)


def measure(decoder: StreamingDecoder, hours: float) -> list[Finding]:
    """What `realm certify` finds of a stream of so many hours."""
    signal = draw_signal(decoder.bundle.chain, SIGNAL_S, 0, lambda done, of: None)
    bins = max(endurance.PARTS, round(3.6e6 * hours / decoder.bin_ms))
    shown = [TextColumn("{task.percentage:3.0f}%"), BarColumn(), TimeRemainingColumn()]
    with Progress(*shown, auto_refresh=False, transient=True) as bars, endurance.as_live():
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
