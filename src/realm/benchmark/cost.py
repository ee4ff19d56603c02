"""The cost of every method of a finished run: training, decoding, and its input signal.

Costs depend on the number of channels, so they are those of the session with the most channels.
Networks are built from the recipe for their shapes; their weights do not matter here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from realm.benchmark.energy import (
    Signal,
    broadband,
    constants_table,
    estimate,
    lfp,
    signal_table,
    threshold_crossings,
)
from realm.data.sessions import PreparedSession, PreparedSet
from realm.evaluation.results import ResultRow, read_results
from realm.files import read_json, write_text
from realm.methods.method import Design, Method
from realm.methods.registry import find, methods_of
from realm.recipe import parse_recipe
from realm.report.tables import ResultTable, number

LFP_BITS, COUNT_BITS = 16, 8  # of a stored sample, where a prepared file does not say


@dataclass(frozen=True)
class CostRow:
    """One method on one signal. The powers are estimates, see `realm.benchmark.energy`.

    `train_cpu_s` is one seed of one run, without the teacher, which is `teacher_cpu_s` for the
    methods that need one. `state_bytes` is NaN where the whole recording is read.
    """

    signal: str
    method: str
    session: str
    channels: int
    rate_hz: float
    sample_bits: int
    lookahead_ms: float
    parameters: int
    train_cpu_s: float
    teacher_cpu_s: float
    us_per_bin: float
    macs_per_bin: int
    state_bytes: float
    input_bits_per_s: float
    conversion_uw: float
    radio_uw: float
    decoding_uw: float
    total_uw: float
    total_low_uw: float
    total_high_uw: float


def cost_rows(main: Path, spikes: Path | None = None) -> list[CostRow]:
    """The costs of all methods of a run folder, and of one on threshold crossings if there is one.

    Raises:
        ValueError: a folder is no finished run.
    """
    rows = _costs(main, lfp, LFP_BITS)
    return rows + ([] if spikes is None else _costs(spikes, threshold_crossings, COUNT_BITS))


def input_signals(rows: Sequence[CostRow]) -> tuple[Signal, ...]:
    """The signals of the rows, and broadband of as many channels for comparison."""
    makers = {"LFP": lfp, "threshold crossings": threshold_crossings}
    found = {
        row.signal: makers[row.signal](row.channels, row.rate_hz, row.sample_bits) for row in rows
    }
    return (*found.values(), broadband(max(row.channels for row in rows)))


def cost_tables(rows: Sequence[CostRow]) -> tuple[ResultTable, ...]:
    """The costs, the input signals, and the constants of the estimate with their sources."""
    return _table(rows), signal_table(input_signals(rows)), constants_table()


def write_costs(rows: Sequence[CostRow], path: Path) -> None:
    """Write all rows as CSV; undefined is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(CostRow)])
    for row in rows:
        writer.writerow([_cell(value) for value in astuple(row)])
    write_text(path, text.getvalue())


def _costs(folder: Path, make: Callable[[int, float, int], Signal], bits: int) -> list[CostRow]:
    record, found = read_json(folder / "run.json"), read_results(folder / "results.csv")
    recipe = parse_recipe(record["recipe"], str(folder / "run.json"))
    sessions = _prepared(folder)
    bins = round(recipe.data.window_s * 1000 / sessions[0].bin_ms)
    design = Design(sessions, recipe.pretrain, recipe.distill, max(1, bins), 0)
    session = design.widest
    channels = len(session.channel_names)
    rate = float(session.provenance["sampling_rate_hz"])
    signal = make(channels, rate, int(session.provenance.get("sample_bits", bits)))
    taught = [record["stages"][f"seed{seed}/pretrain"]["cpu_s"] for seed in recipe.seeds]
    teacher_cpu_s = float(np.mean(taught))
    methods = [method for method in map(find, methods_of(found)) if method is not None]
    return [
        _row(method, method.settings_in(recipe.baselines), found, design, signal, teacher_cpu_s)
        for method in methods
        if method.complexity is not None
    ]


def _row(
    method: Method,
    settings: Any,
    found: Sequence[ResultRow],
    design: Design,
    signal: Signal,
    teacher_cpu_s: float,
) -> CostRow:
    assert method.complexity is not None, method.name
    session = design.widest.session_id
    own = [row for row in found if row.method == method.name and row.split == "test"]
    here = [row for row in own if row.session == session]
    complexity = method.complexity(design._replace(parameters=here[0].parameters), settings)
    macs_per_s = complexity.macs_per_bin * 1000 / design.widest.bin_ms
    low, typical, high = (estimate(signal, macs_per_s, scenario) for scenario in range(3))
    train_cpu_s = _training(method, own)
    if method.name == "teacher_probe":  # its rows count the teacher in
        train_cpu_s = max(0.0, train_cpu_s - teacher_cpu_s)
    state = math.nan if complexity.state_bytes is None else float(complexity.state_bytes)
    return CostRow(
        signal.name,
        method.name,
        session,
        signal.channels,
        signal.rate_hz,
        signal.bits,
        here[0].lookahead_ms,
        here[0].parameters,
        train_cpu_s,
        teacher_cpu_s if method.needs_teacher else 0.0,
        float(np.mean([row.us_per_bin for row in here])),
        complexity.macs_per_bin,
        state,
        signal.bits_per_s,
        typical.conversion_uw,
        typical.radio_uw,
        typical.decoding_uw,
        typical.total_uw,
        low.total_uw,
        high.total_uw,
    )


def _training(method: Method, own: Sequence[ResultRow]) -> float:
    """CPU seconds of one seed, the mean over seeds."""
    by_seed: dict[int, list[float]] = {}
    for row in own:
        by_seed.setdefault(row.seed, []).append(row.train_cpu_s)
    whole = sum if method.fitted_to_sessions else max
    return float(np.mean([whole(seconds) for seconds in by_seed.values()]))


def _prepared(folder: Path) -> list[PreparedSession]:
    """The sessions of a run: its own prepared files, or those beside it that runs share."""
    own = folder / "prepared"
    return PreparedSet.load(own if own.is_dir() else folder.parent / "prepared").sessions


def _table(rows: Sequence[CostRow]) -> ResultTable:
    lines = []
    for row in rows:
        whole = math.isnan(row.state_bytes)
        between = (number(row.total_low_uw, digits=0), number(row.total_high_uw, digits=0))
        lines.append(
            (
                row.method,
                row.signal,
                f"{row.parameters:,}",
                number(row.train_cpu_s, digits=1),
                number(row.teacher_cpu_s, digits=1) if row.teacher_cpu_s else "–",
                number(row.us_per_bin, digits=1),
                f"{row.macs_per_bin:,}",
                "whole recording" if whole else f"{row.state_bytes:,.0f}",
                f"{row.input_bits_per_s:,.0f}",
                f"{number(row.total_uw, digits=0)} ({' to '.join(between)})",
            )
        )
    columns = (
        *("Method", "Signal", "Parameters", "Training, CPU s", "Its teacher, CPU s"),
        *("µs per bin", "Multiply-accumulates per bin", "State, bytes", "Input, bits per s"),
        "Power, µW (estimate: typical, low to high)",
    )
    channels = max(row.channels for row in rows)
    return ResultTable(f"Cost per method at {channels} channels", columns, tuple(lines), 2)


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
