"""What every method of a finished run costs: to train, to run, and to feed.

Costs depend on the number of channels, so they are those of the session with the most; scores are
not looked at. Networks are built anew from the recipe for their shapes: weights do not matter here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from realm.benchmark.complexity import (
    Complexity,
    kalman_complexity,
    patch_transformer_complexity,
    ridge_complexity,
    student_complexity,
    teacher_complexity,
)
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
from realm.evaluation.results import ResultRow, methods_of, read_results
from realm.files import read_json, write_text
from realm.methods.kalman_fit import LAGS_MS
from realm.nn.encoder import EncoderConfig
from realm.nn.gru import GRUEncoder
from realm.nn.lstm import LSTMEncoder
from realm.nn.patch_transformer import PatchTransformer
from realm.nn.transformer import CausalTransformerEncoder
from realm.recipe import Recipe, parse_recipe
from realm.report.tables import ResultTable, number
from realm.training.build import new_student, new_teacher, session_info

FITTED_TO_SESSIONS = ("ridge", "kalman")  # their training is a sum over sessions
TAUGHT = ("student", "teacher_probe")
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


def cost_markdown(rows: Sequence[CostRow]) -> str:
    """The tables as Markdown, the constants of the estimate and their sources with them."""
    parts = [_table(rows), signal_table(input_signals(rows)), constants_table()]
    return "\n".join(f"### {table.title}\n\n{table.markdown()}" for table in parts)


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
    networks = _Networks(recipe, _prepared(folder))
    session = networks.widest
    channels = len(session.channel_names)
    rate = float(session.provenance["sampling_rate_hz"])
    signal = make(channels, rate, int(session.provenance.get("sample_bits", bits)))
    taught = [record["stages"][f"seed{seed}/pretrain"]["cpu_s"] for seed in recipe.seeds]
    teacher_cpu_s = float(np.mean(taught))
    return [
        _row(method, found, networks, signal, teacher_cpu_s if method in TAUGHT else 0.0)
        for method in methods_of(found)
    ]


def _row(
    method: str,
    found: Sequence[ResultRow],
    networks: _Networks,
    signal: Signal,
    teacher_cpu_s: float,
) -> CostRow:
    session = networks.widest.session_id
    own = [row for row in found if row.method == method and row.split == "test"]
    here = [row for row in own if row.session == session]
    complexity = networks.complexity(method, here[0].parameters)
    macs_per_s = complexity.macs_per_bin * 1000 / networks.widest.bin_ms
    low, typical, high = (estimate(signal, macs_per_s, scenario) for scenario in range(3))
    train_cpu_s = _training(method, own)
    if method == "teacher_probe":  # its rows count the teacher in
        train_cpu_s = max(0.0, train_cpu_s - teacher_cpu_s)
    state = math.nan if complexity.state_bytes is None else float(complexity.state_bytes)
    return CostRow(
        signal.name,
        method,
        session,
        signal.channels,
        signal.rate_hz,
        signal.bits,
        here[0].lookahead_ms,
        here[0].parameters,
        train_cpu_s,
        teacher_cpu_s,
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


def _training(method: str, own: Sequence[ResultRow]) -> float:
    """CPU seconds of one seed, the mean over seeds."""
    by_seed: dict[int, list[float]] = {}
    for row in own:
        by_seed.setdefault(row.seed, []).append(row.train_cpu_s)
    whole = sum if method in FITTED_TO_SESSIONS else max
    return float(np.mean([whole(seconds) for seconds in by_seed.values()]))


def _prepared(folder: Path) -> list[PreparedSession]:
    """The sessions of a run: its own prepared files, or those beside it that runs share."""
    own = folder / "prepared"
    return PreparedSet.load(own if own.is_dir() else folder.parent / "prepared").sessions


class _Networks:
    """The networks of a recipe, for the session with the most channels."""

    def __init__(self, recipe: Recipe, sessions: Sequence[PreparedSession]) -> None:
        self.recipe, self.sessions = recipe, sessions
        self.widest = max(sessions, key=lambda session: len(session.channel_names))
        self.dims = len(self.widest.behavior_names)
        self.features = len(self.widest.channel_names) * len(self.widest.band_names)

    def complexity(self, method: str, parameters: int) -> Complexity:
        """What a bin costs; `parameters` as in the results."""
        ours, name = self.recipe.baselines, self.widest.session_id
        if method == "ridge":
            return ridge_complexity(self.features, self.dims, self._bins(ours.ridge.lag_s))
        if method == "kalman":
            reach, latest = self._bins(ours.kalman.lag_s), self._bins(max(LAGS_MS) / 1000)
            return kalman_complexity(parameters, self.features, self.dims, reach, latest)
        if method == "teacher_probe":
            config = self.recipe.pretrain.encoder
            return self._bidirectional(config, config.d_model * self.dims)
        if method == "mamba_bidirectional":
            return self._bidirectional(ours.mamba_bidirectional.encoder)
        if method == "transformer_mae_probe":
            return patch_transformer_complexity(self._patch_transformer(), name, self.dims)
        return self._student(method)

    def _student(self, method: str) -> Complexity:
        ours = self.recipe.baselines
        causal, context = ours.transformer_causal, self._bins(ours.transformer_causal.context_s)
        encoders = {
            "gru": lambda: GRUEncoder(ours.gru.d_model, ours.gru.layers),
            "lstm": lambda: LSTMEncoder(ours.lstm.d_model, ours.lstm.layers),
            "transformer_causal": lambda: CausalTransformerEncoder(
                causal.d_model, causal.layers, context, causal.headdim
            ),
        }
        make = encoders.get(method)
        student = new_student(self.sessions, {}, self.recipe.distill, 0, make)
        return student_complexity(student, self.widest.session_id)

    def _bidirectional(self, config: EncoderConfig, readout: int = 0) -> Complexity:
        teacher = new_teacher(self.sessions, {}, config, 0)
        return teacher_complexity(teacher, self.widest.session_id, readout)

    def _patch_transformer(self) -> PatchTransformer:
        ours = self.recipe.baselines.transformer_mae_probe
        infos = [session_info(session) for session in self.sessions]
        return PatchTransformer(
            infos,
            self._bins(self.recipe.data.window_s),
            d_model=ours.d_model,
            layers=ours.layers,
            headdim=ours.headdim,
            patch_channels=ours.patch_channels,
        )

    def _bins(self, seconds: float) -> int:
        return max(1, round(seconds * 1000 / self.widest.bin_ms))


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
