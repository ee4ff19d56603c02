"""How long an output takes, and what training and decoding cost."""

from __future__ import annotations

import math

from realm.evaluation.metrics import mean_defined
from realm.report.run_folder import RunFolder
from realm.report.section import Section
from realm.report.tables import ResultTable, cost_table, number

TITLE = "Latency and cost"


def latency_section(run: RunFolder) -> Section:
    """The delay from a sample to the output that reflects it, and the cost of every method."""
    tables = [cost_table(run.rows)]
    text = []
    total = latency_ms(run)
    if math.isfinite(total):
        tables.insert(0, _stages(run))
        text.append(
            f"An output reflects what the electrodes recorded {number(total, digits=0)} ms before: "
            "the delays of filters and smoothing, a whole bin, and the lookahead. The time to "
            "compute is not in it."
        )
    else:
        text.append(
            run.needs_sessions.replace("Left out", "The latency of the filters is left out")
        )
    if run.benchmark.get("cost"):
        tables.append(_benchmark_cost(run))
    return Section(TITLE, tuple(text), tables=tuple(tables))


def latency_ms(run: RunFolder) -> float:
    """Milliseconds from a sample to its output, of the slowest session; NaN if not known."""
    if not run.sessions:
        return math.nan
    chain = max(session.chain.latency_ms for session in run.sessions)
    return chain + run.sessions[0].bin_ms / 2 + lookahead_ms(run)  # the chain counts half a bin


def lookahead_ms(run: RunFolder) -> float:
    """How long the student waits for future signal, in ms."""
    waits = [row.lookahead_ms for row in run.rows if row.method == "student"]
    return max(waits, default=0.0)


def load_share(run: RunFolder) -> float:
    """Time to decode a bin as a share of the bin's length, for the student; NaN if not known."""
    bin_ms = (run.record.get("recipe") or {}).get("signal", {}).get("bin_ms", math.nan)
    us = mean_defined([row.us_per_bin for row in run.rows if row.method == "student"])
    return us / (1000 * float(bin_ms))


def _stages(run: RunFolder) -> ResultTable:
    session = max(run.sessions, key=lambda s: s.chain.latency_ms)
    lines = [
        (name, text, number(wait, digits=1))
        for name, wait, text in session.chain.describe()
        if name != "masked"
    ]
    lines.append(
        (
            "rest of the bin",
            "the first sample of a bin waits for its end",
            number(session.bin_ms / 2, digits=1),
        )
    )
    lines.append(("lookahead", "distill.lookahead_ms", number(lookahead_ms(run), digits=1)))
    lines.append(("sum", "", number(latency_ms(run), digits=1)))
    title = f"Where the delay comes from ({session.session_id})"
    return ResultTable(title, ("Stage", "What it does", "Delay, ms"), tuple(lines), text_columns=2)


def _benchmark_cost(run: RunFolder) -> ResultTable:
    """What the benchmark counted, at the session with the most channels."""
    keys = {
        "signal": "Signal",
        "method": "Method",
        "channels": "Channels",
        "macs_per_bin": "Multiply-accumulates per bin",
        "state_bytes": "State, bytes",
        "input_bits_per_s": "Input, bits per s",
        "teacher_cpu_s": "Its teacher, CPU s",
        "total_uw": "Power, µW (estimate)",
    }
    lines = tuple(tuple(_cell(row.get(key)) for key in keys) for row in run.benchmark["cost"])
    return ResultTable("Cost as the benchmark counts it", tuple(keys.values()), lines, 2)


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return number(float(value), digits=0)
    return "–" if value is None else str(value)
