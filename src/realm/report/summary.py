"""The result in plain words, for a reader who does not know the field."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realm.evaluation.comparison import paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow
from realm.report.health import replaced_share, unfit_channels
from realm.report.latency import latency_ms, load_share
from realm.report.run_folder import RunFolder
from realm.report.section import Section
from realm.report.tables import label_budgets, labels_text, number

TITLE = "Summary"
LEAK = 0.03  # |R²| with moved behavior above which something leaks
POOR = 0.05  # R² below which almost nothing is decoded
LINEAR = ("ridge", "kalman")


def summary_section(run: RunFolder) -> Section:
    """What was done, how well it works, against what, whether to trust it, what to watch."""
    test = [row for row in run.rows if row.split == "test"]
    budgets = label_budgets(row for row in test if row.method == "student")
    if not budgets:
        return Section(TITLE, ("This run holds no test result of the student.",))
    rows = [row for row in test if row.label_s == budgets[0]]
    student = [row for row in rows if row.method == "student"]
    parts = [
        _done(run, student),
        _accuracy(student),
        *(_few_labels(test, label_s) for label_s in budgets[1:]),
        _against_linear(rows),
        _against_networks(rows),
        _trust(student),
        _live(run),
        _warnings(run, student),
    ]
    return Section(TITLE, tuple(part for part in parts if part))


def _done(run: RunFolder, student: Sequence[ResultRow]) -> str:
    sessions = {row.session for row in student}
    subjects = {row.subject for row in student}
    seeds = {row.seed for row in student}
    label_s = student[0].label_s
    labels = "" if label_s == "all" else f", with {labels_text(label_s)} of labels in each"
    text = (
        f"**What was done.** A decoder of {_behavior(run)} was trained on the first 70% of "
        f"{_count(len(sessions), 'session')} of {_count(len(subjects), 'subject')}{labels}. It was "
        f"tested on the last 20%, which it had never seen. {_trainings(len(seeds))}"
    )
    channels = sorted({len(s.channel_names) for s in run.sessions})
    if channels:
        some = str(channels[0]) if len(channels) == 1 else f"{channels[0]} to {channels[-1]}"
        text += f" It uses {some} LFP channel{'s' if channels[-1] > 1 else ''}."
    return text


def _trainings(seeds: int) -> str:
    if seeds == 1:
        return "It was trained once, so the effect of chance in the training is not known."
    return f"The numbers are means of {seeds} trainings that differ only by chance."


def _behavior(run: RunFolder) -> str:
    if run.sessions:
        session = run.sessions[0]
        names = ", ".join(name.replace("_", " ") for name in session.behavior_names)
        return f"{names} ({session.behavior_unit})" if session.behavior_unit else names
    data = (run.record.get("recipe") or {}).get("data") or {}
    return f"{data.get('target', 'behavior')} of {data['behavior']}" if data else "behavior"


def _accuracy(student: Sequence[ResultRow]) -> str:
    means = _by_session(student)
    mean = mean_defined(list(means.values()))
    text = (
        f"**How well it works.** The decoding explains {_percent(mean)} of the behavior's variance "
        f"(R² {number(mean)}; 1 is perfect, 0 is a constant guess of the average)."
    )
    defined = {name: value for name, value in means.items() if not math.isnan(value)}
    if len(defined) > 1:
        best, worst = max(defined, key=defined.__getitem__), min(defined, key=defined.__getitem__)
        text += (
            f" Best session: {best} ({number(defined[best], digits=2)}); "
            f"weakest: {worst} ({number(defined[worst], digits=2)})."
        )
    return text


def _few_labels(test: Sequence[ResultRow], label_s: LabelBudget) -> str:
    rows = [row for row in test if row.label_s == label_s]
    means = _by_session([row for row in rows if row.method == "student"])
    others = sorted({row.method for row in rows} - {"student"})
    text = (
        f"**With {labels_text(label_s)} of labels** in {_count(len(means), 'session')}, R² is "
        f"{number(mean_defined(list(means.values())))}"
    )
    return f"{text}: {_differences(rows, others)}" if others else f"{text}."


def _against_linear(rows: Sequence[ResultRow]) -> str:
    found = [m for m in LINEAR if any(row.method == m for row in rows)]
    return f"**Against simple decoders.** {_differences(rows, found)}" if found else ""


def _against_networks(rows: Sequence[ResultRow]) -> str:
    causal = {row.method for row in rows if row.causal} - {"student", *LINEAR}
    if not causal:
        return ""
    best = max(sorted(causal), key=lambda m: _mean(rows, m))
    text = f"**Against other networks.** {_differences(rows, [best], 'the best of them, ')}"
    if "scratch" in causal - {best}:
        text += f" What the teacher adds: {_differences(rows, ['scratch'])}"
    return text


def _differences(rows: Sequence[ResultRow], others: Sequence[str], prefix: str = "") -> str:
    """How the student compares with these methods, with 95% intervals where there are any."""
    said = []
    for other in others:
        paired = paired_interval(rows, "student", other, label_s=rows[0].label_s)
        if not math.isfinite(paired.low):
            verdict = "no interval: it needs 2 sessions or seeds"
        else:
            verdict = f"95% interval {number(paired.low, sign=True)} to "
            verdict += number(paired.high, sign=True)
            if paired.low <= 0 <= paired.high:
                verdict += ": the difference may be chance"
        said.append(f"{number(paired.mean, sign=True)} R² against {prefix}{other} ({verdict})")
    return "; ".join(said) + "."


def _trust(student: Sequence[ResultRow]) -> str:
    control = mean_defined([row.r2_shifted for row in student])
    if math.isnan(control):
        return (
            "**Can it be trusted?** The test for leaks was not possible: the test time is shorter "
            "than 20 s."
        )
    said = (
        "It is near 0, as it must be if nothing leaks."
        if abs(control) <= LEAK
        else "It must be near 0. Something other than the signal of the moment carries the answer: "
        "find it before you use the result."
    )
    return (
        "**Can it be trusted?** When the behavior is moved by more than 10 s against the signal, "
        f"R² is {number(control)}. {said}"
    )


def _live(run: RunFolder) -> str:
    share, total = load_share(run), latency_ms(run)
    parts = []
    if math.isfinite(total):
        parts.append(f"an output reflects the signal of {number(total, digits=0)} ms before")
    if math.isfinite(share):
        parts.append(f"computing it takes {_percent(share)} of the time of a bin, on one core")
    return "**Can it run live?** " + _sentence(", and ".join(parts)) + "." if parts else ""


def _warnings(run: RunFolder, student: Sequence[ResultRow]) -> str:
    found = []
    means = _by_session(student)
    poor = [name for name, value in means.items() if value < POOR]
    undefined = [name for name, value in means.items() if math.isnan(value)]
    if poor:
        found.append(f"almost nothing is decoded in {', '.join(poor)}")
    if undefined:
        found.append(f"behavior does not vary in the test time of {', '.join(undefined)}")
    for session in run.sessions:
        names = unfit_channels(session, replaced_share(session))
        if names:
            found.append(f"{_count(len(names), 'unfit channel')} in {session.session_id}")
    if len(means) < 3:
        found.append("fewer than 3 sessions say little about the next one")
    return "**To watch.** " + _sentence("; ".join(found)) + "." if found else ""


def _by_session(rows: Sequence[ResultRow]) -> dict[str, float]:
    sessions = dict.fromkeys(row.session for row in rows)
    return {name: mean_defined([r.r2 for r in rows if r.session == name]) for name in sessions}


def _mean(rows: Sequence[ResultRow], method: str) -> float:
    mean = mean_defined(list(_by_session([r for r in rows if r.method == method]).values()))
    return -math.inf if math.isnan(mean) else mean


def _percent(share: float) -> str:
    return "an unknown part" if math.isnan(share) else f"{100 * share:.0f}%".replace("-", "−")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"
