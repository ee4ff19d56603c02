"""What the benchmark must show: each claim with its target, what was measured, whether it holds.

Every claim is measured on every set of recordings; `asked_of` says on which of them it must hold. A
claim on a mean is met if the mean reaches its target, a claim on an interval if its lower end does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from realm.benchmark.part import BenchmarkRow, select
from realm.evaluation.comparison import PairedInterval, paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow
from realm.report.tables import ResultTable, interval, labels_text, number

Basis = Literal["mean", "interval"]
CAUSAL = ("ridge", "kalman", "gru", "lstm", "transformer_causal", "scratch")
SELF_SUPERVISED = ("teacher_probe", "transformer_mae_probe")
BOTH, REACHES, RODENTS = "both sets", "simulated reaches", "rodent speed"


@dataclass(frozen=True)
class Claim:
    """One line of the report.

    Attributes:
        text: what is claimed.
        asked_of: the recordings on which it must hold.
        target: as text, such as "≥ 0.020".
        measured, low, high: the figure and its 95% interval; NaN where there is none.
        met: None if it could not be measured.
        detail: what else to know, or why it could not be measured.
    """

    text: str
    asked_of: str
    target: str
    measured: float
    low: float
    high: float
    met: bool | None
    detail: str = ""

    def line(self) -> str:
        """For the terminal."""
        state = {True: "met", False: "not met", None: "not measured"}[self.met]
        if self.met is None:
            return f"{state:12} {self.text} ({self.detail})"
        return f"{state:12} {self.text}: {number(self.measured)}, asked: {self.target}"


def all_claims(rows: Sequence[BenchmarkRow]) -> list[Claim]:
    """All claims, in the order of the report."""
    main = select(rows, "main")
    return [
        *(lead_in_the_mean(main, other) for other in CAUSAL),
        *(_difference(main, other, 0.0, "interval", REACHES) for other in ("gru", "scratch")),
        level_with_the_best_causal(main),
        _difference(main, "ridge", 0.0, "mean", RODENTS),
        *(_difference(main, other, 0.0, "mean", BOTH) for other in SELF_SUPERVISED),
        _difference(main, "mamba_bidirectional", -0.03, "mean", BOTH),
        distillation_gain(rows, 30.0, 0.03),
        distillation_gain(rows, 120.0, 0.02),
        ratio_to_the_masked_transformer(main, "parameters", 0.5, "parameters"),
        ratio_to_the_masked_transformer(main, "train_cpu_s", 0.1, "training CPU seconds"),
        near_the_spikes(rows),
        shifted_control(main),
        *held_out_claims(rows),
    ]


def held_out_claims(rows: Sequence[BenchmarkRow]) -> list[Claim]:
    """What label-free networks must be worth on sessions that they never saw."""
    found = select(rows, "heldout", "unseen")
    claims: list[Claim] = []
    for label_s, level, lead in HELD_OUT:
        at = labels_text(label_s)
        claims.append(_level(found, label_s, level, f"student_frozen on a new session, {at}"))
        for other in ("ridge", "untrained", "causal_mae", "published_student"):
            text = f"student_frozen − {other} on a new session, {at}"
            claims.append(_lead(found, "student_frozen", other, label_s, 0.08, text))
        ours = _best(found, ("student_tuned", "student_joint"), label_s)
        alone = _best(found, CAUSAL, label_s)
        text = f"trained student − best method of the new session alone, {at}"
        claim = _lead(found, ours, alone, label_s, lead, text)
        claims.append(replace(claim, detail=f"{ours} − {alone}") if ours and alone else claim)
    return claims


# Seconds of labels, R² of the frozen student, lead of a trained one over the new session alone.
HELD_OUT: tuple[tuple[LabelBudget, float, float], ...] = (
    (30.0, 0.72, 0.15),
    (120.0, 0.78, 0.05),
    ("all", 0.80, -0.005),
)


def _best(rows: Sequence[ResultRow], methods: Sequence[str], label_s: LabelBudget) -> str:
    """The method with the highest mean R², "" where there are none."""
    means = {
        method: mean_defined([r.r2 for r in rows if (r.method, r.label_s) == (method, label_s)])
        for method in methods
    }
    present = {method: mean for method, mean in means.items() if not math.isnan(mean)}
    return max(present, key=lambda method: present[method], default="")


def _level(rows: Sequence[ResultRow], label_s: LabelBudget, least: float, text: str) -> Claim:
    own = [r.r2 for r in rows if (r.method, r.label_s) == ("student_frozen", label_s)]
    mean, target = mean_defined(own), f"≥ {number(least)}"
    if math.isnan(mean):
        return _unmeasured(text, REACHES, target)
    return Claim(text, REACHES, target, mean, math.nan, math.nan, mean >= least)


def _lead(
    rows: Sequence[ResultRow],
    ours: str,
    other: str,
    label_s: LabelBudget,
    least: float,
    text: str,
) -> Claim:
    """A lead in the mean; above 0 it must hold for the whole interval as well."""
    target = f"mean ≥ {number(least, sign=True)}" + (", interval > 0" if least > 0 else "")
    try:
        paired = paired_interval(rows, ours, other, label_s=label_s)
    except ValueError:
        return _unmeasured(text, REACHES, target)
    met = paired.mean >= least and (least <= 0 or paired.low > 0)
    return Claim(text, REACHES, target, paired.mean, paired.low, paired.high, met)


def claims_table(claims: Sequence[Claim]) -> ResultTable:
    """Each claim beside its target."""
    lines = [
        (
            claim.text,
            claim.asked_of,
            claim.detail,
            claim.target,
            "–" if math.isnan(claim.measured) else number(claim.measured),
            interval(claim.low, claim.high),
            {True: "yes", False: "no", None: "–"}[claim.met],
        )
        for claim in claims
    ]
    columns = ("Claim", "Asked of", "On", "Target", "Measured", "95% interval", "Met")
    return ResultTable("What must be seen", columns, tuple(lines), text_columns=3)


def lead_in_the_mean(main: Sequence[ResultRow], other: str) -> Claim:
    """The student leads a causal baseline by 0.02."""
    return _difference(main, other, 0.02, "mean", REACHES)


def level_with_the_best_causal(main: Sequence[ResultRow]) -> Claim:
    """Level with the causal baseline of the highest mean."""
    means = {m: mean_defined([row.r2 for row in main if row.method == m]) for m in CAUSAL}
    present = {method: mean for method, mean in means.items() if not math.isnan(mean)}
    if not present:
        return _unmeasured("student − best causal baseline", RODENTS, "interval from −0.010")
    best = max(present, key=lambda method: present[method])
    claim = _difference(main, best, -0.01, "interval", RODENTS)
    return replace(claim, text=f"student − best causal baseline ({best})")


def distillation_gain(rows: Sequence[BenchmarkRow], label_s: float, target: float) -> Claim:
    """Student against the same student from scratch, on the sessions with few labels."""
    found = select(rows, "labels", f"{label_s:g} s")
    text = f"student − scratch, {label_s:g} s of labels on the last session"
    return _difference(found, "scratch", target, "mean", REACHES, label_s, text)


def ratio_to_the_masked_transformer(
    main: Sequence[ResultRow], column: str, most: float, what: str
) -> Claim:
    """A cost of the student as a share of the masked-autoencoding Transformer's."""
    ours, theirs = (
        mean_defined([float(getattr(row, column)) for row in main if row.method == method])
        for method in ("student", "transformer_mae_probe")
    )
    text, target = f"student / transformer_mae_probe, {what}", f"≤ {number(most)}"
    if math.isnan(ours / theirs):
        return _unmeasured(text, BOTH, target)
    detail = f"{number(ours, digits=0)} against {number(theirs, digits=0)}"
    ratio = ours / theirs
    return Claim(text, BOTH, target, ratio, math.nan, math.nan, ratio <= most, detail)


def near_the_spikes(rows: Sequence[BenchmarkRow], share: float = 0.9) -> Claim:
    """The LFP student reaches nine tenths of the spike student's R²."""
    lfp = [row for row in select(rows, "main") if row.method == "student"]
    spikes = [row for row in select(rows, "spikes") if row.method == "student"]
    text = f"LFP student − {share:g} × spike student"
    if not lfp or not spikes:
        return _unmeasured(text, REACHES, _target(0.0, "mean"))
    scaled = [replace(row, method="spikes", r2=share * row.r2) for row in spikes]
    paired = paired_interval([*lfp, *scaled], "student", "spikes")
    ratio = mean_defined([row.r2 for row in lfp]) / mean_defined([row.r2 for row in spikes])
    claim = _judged(text, REACHES, 0.0, "mean", paired)
    return replace(claim, detail=f"LFP / spikes: {number(ratio)}")


def shifted_control(main: Sequence[ResultRow], most: float = 0.03) -> Claim:
    """The method whose shifted-behavior control is furthest from zero."""
    text, target = "R² with shifted behavior, method furthest from 0", f"within ±{number(most)}"
    methods = dict.fromkeys(row.method for row in main)
    means = {m: mean_defined([r.r2_shifted for r in main if r.method == m]) for m in methods}
    means = {method: mean for method, mean in means.items() if not math.isnan(mean)}
    if not means:
        return _unmeasured(text, BOTH, target)
    worst = max(means, key=lambda method: abs(means[method]))
    measured = means[worst]
    met = abs(measured) <= most
    return Claim(text, BOTH, target, measured, math.nan, math.nan, met, worst)


def _difference(
    rows: Sequence[ResultRow],
    other: str,
    target: float,
    basis: Basis,
    asked_of: str,
    label_s: LabelBudget = "all",
    text: str = "",
) -> Claim:
    """Student minus another method, paired by session and seed."""
    text = text or f"student − {other}"
    try:
        paired = paired_interval(rows, "student", other, label_s=label_s)
    except ValueError:
        return _unmeasured(text, asked_of, _target(target, basis))
    return _judged(text, asked_of, target, basis, paired)


def _judged(text: str, asked_of: str, target: float, basis: Basis, paired: PairedInterval) -> Claim:
    judged = paired.mean if basis == "mean" else paired.low
    holds: Callable[[float], bool] = _beyond(target)
    met = None if math.isnan(judged) else holds(judged)
    pairs = f"{_count(paired.sessions, 'session')} × {_count(paired.seeds, 'seed')}"
    detail = pairs if met is not None else f"{pairs}: too few for an interval"
    return Claim(
        text, asked_of, _target(target, basis), paired.mean, paired.low, paired.high, met, detail
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _beyond(target: float) -> Callable[[float], bool]:
    """ "Above" where nothing is asked but the sign, "at least" otherwise."""
    return (lambda value: value > 0) if target == 0 else (lambda value: value >= target)


def _target(target: float, basis: Basis) -> str:
    sign = ">" if target == 0 else "≥"
    asked = f"{sign} {number(target, sign=target != 0)}"
    return f"mean {asked}" if basis == "mean" else f"interval {asked}"


def _unmeasured(text: str, asked_of: str, target: str) -> Claim:
    nan = math.nan
    return Claim(text, asked_of, target, nan, nan, nan, None, "not measured: no such rows")
