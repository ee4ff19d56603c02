"""Runs side by side: their R² on the sessions they share, and the settings in which they differ.

Two runs are paired by session and seed. Two sessions are the same only if their recordings are the
same file: the name alone is not enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from realm.evaluation.comparison import PairedInterval, paired_interval
from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import LabelBudget, ResultRow
from realm.files import write_text
from realm.report.page import page
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section
from realm.report.settings import flat_settings, short_value
from realm.report.style import figure_file, quiet_grid
from realm.report.tables import ResultTable, interval, number

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#444444", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Comparison:
    """Runs under the names they are shown by, and the rows of one method on test time.

    Attributes:
        method: whose R² is compared.
        runs: by name.
        rows: of each run, for the sessions that all runs share.
        only_in_some: sessions that are left out, because not every run has their recording.
    """

    method: str
    runs: dict[str, RunFolder]
    rows: dict[str, list[ResultRow]]
    only_in_some: tuple[str, ...]

    @property
    def sessions(self) -> list[str]:
        """The shared sessions, in the order of the first run."""
        return list(dict.fromkeys(row.session for row in next(iter(self.rows.values()))))

    def mean(self, name: str, session: str | None = None) -> float:
        """Mean R² of a run over its seeds, in one session or over all that are shared."""
        if session is None:
            return mean_defined([self.mean(name, one) for one in self.sessions])
        return mean_defined([row.r2 for row in self.rows[name] if row.session == session])

    def difference(self, name: str) -> PairedInterval:
        """This run's R² minus the first's, paired by session and seed."""
        first = next(iter(self.runs))
        both = [replace(row, method="first") for row in self.rows[first]]
        both += [replace(row, method="other") for row in self.rows[name]]
        budget: LabelBudget = "all"
        both = [replace(row, label_s=budget) for row in both]
        return paired_interval(both, "other", "first")


def compare(folders: Sequence[Path | str], method: str = "student") -> Comparison:
    """Read runs (or the main runs of benchmarks) to compare them.

    Raises:
        ValueError: fewer than two runs, no such method in one of them, or no session they share.
    """
    if len(folders) < 2:
        raise ValueError(f"expected two runs or more to compare, got {len(folders)}; name another")
    runs = dict(zip(_names(folders), map(RunFolder.open, folders), strict=True))
    rows = {name: _rows_of(run, method) for name, run in runs.items()}
    keys = {name: _recordings(run, rows[name]) for name, run in runs.items()}
    shared = set.intersection(*(set(found.items()) for found in keys.values()))
    kept = {session for session, _ in shared}
    if not kept:
        listed = "; ".join(f"{name}: {', '.join(found)}" for name, found in keys.items())
        raise ValueError(
            f"expected runs that share a session (the same name and recording), found {listed}; "
            "compare runs on the same recordings"
        )
    left = tuple(sorted({s for found in keys.values() for s in found} - kept))
    rows = {name: [row for row in own if row.session in kept] for name, own in rows.items()}
    return Comparison(method, runs, rows, left)


def summary_table(comparison: Comparison) -> ResultTable:
    """R² of every run, and its paired distance to the first."""
    lines = []
    first = next(iter(comparison.runs))
    for name, own in comparison.rows.items():
        seeds = {row.seed for row in own}
        paired = None if name == first else comparison.difference(name)
        lines.append(
            (
                name,
                number(comparison.mean(name)),
                "–" if paired is None else number(paired.mean, sign=True),
                "–"
                if paired is None
                else interval(paired.low, paired.high, "needs 2 sessions or seeds"),
                "–" if paired is None else f"{paired.sessions} × {paired.seeds}",
                f"{len(comparison.sessions)} × {len(seeds)}",
            )
        )
    columns = ("Run", "R²", "Against the first", "95% interval", "Pairs", "Sessions × seeds")
    return ResultTable(f"R² of {comparison.method} on test time", columns, tuple(lines))


def session_table(comparison: Comparison) -> ResultTable:
    """R² per session, one column per run."""
    lines = tuple(
        (session, *(number(comparison.mean(name, session)) for name in comparison.runs))
        for session in comparison.sessions
    )
    return ResultTable("R² per session", ("Session", *comparison.runs), lines)


def settings_table(comparison: Comparison) -> ResultTable:
    """Every setting, version and commit in which the runs differ."""
    facts = {name: _facts(run.record) for name, run in comparison.runs.items()}
    keys = list(dict.fromkeys(key for found in facts.values() for key in found))
    lines = []
    for key in keys:
        cells = [short_value(found[key]) if key in found else "–" for found in facts.values()]
        if len(set(cells)) > 1:
            lines.append((key, *cells))
    columns = ("Setting", *comparison.runs)
    return ResultTable("Differences in settings", columns, tuple(lines), len(columns))


def write_comparison(comparison: Comparison, out: Path | str) -> Path:
    """Tables and figure as one HTML page; returns its path."""
    out = Path(out)
    said = [f"The other runs are compared with the first, {next(iter(comparison.runs))}."]
    if comparison.only_in_some:
        listed = ", ".join(comparison.only_in_some)
        said.append(f"Left out, because not every run has these recordings: {listed}.")
    settings = settings_table(comparison)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "comparison.png"
        comparison_figure(comparison, path)
        accuracy = Section(
            "Accuracy",
            tuple(said),
            (Picture(path, "R² of every run in every session"),),
            (summary_table(comparison), session_table(comparison)),
        )
        told = () if settings.rows else ("The runs do not differ in any setting.",)
        difference = Section("Settings", told, tables=(settings,) if settings.rows else ())
        write_text(out, page(" against ".join(comparison.runs), [accuracy, difference]))
    return out


def comparison_figure(comparison: Comparison, path: Path) -> None:
    """One row per session and one for the mean; a mark per run, small dots for its seeds."""
    places = {name: k for k, name in enumerate(comparison.runs)}
    rows = [*comparison.sessions]
    height = 1.6 + (len(rows) + 1) * (0.14 * len(places) + 0.16)
    with figure_file(path, 9.0, height) as fig:
        ax = fig.subplots()
        for name, place in places.items():
            own, mark = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            offset = (place - (len(places) - 1) / 2) * 0.7 / len(places)
            means = [comparison.mean(name), *(comparison.mean(name, one) for one in rows)]
            ax.plot(means, np.arange(len(means)) + offset, mark, color=own, label=name)
            for at, session in enumerate(rows, start=1):
                seeds = [row.r2 for row in comparison.rows[name] if row.session == session]
                ax.plot(seeds, [at + offset] * len(seeds), ".", color=own, markersize=3)
        ax.axhspan(-0.5, 0.5, color="#F5F5F5", zorder=0)
        ax.set_yticks(range(len(rows) + 1), ["mean over sessions", *rows])
        ax.set_ylim(len(rows) + 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"R² of {comparison.method} on test time.  Dots: seeds.")
        quiet_grid(ax, "x")
        fig.legend(loc="outside upper left", ncols=min(4, len(places)), frameon=False)


def _rows_of(run: RunFolder, method: str) -> list[ResultRow]:
    test = [row for row in run.rows if row.split == "test"]
    own = [row for row in test if row.method == method]
    if not own:
        found = ", ".join(sorted({row.method for row in test})) or "none"
        raise ValueError(
            f"{run.path}: expected test results of {method!r}, found {found}; name one that every "
            "run has (--method)"
        )
    return own


def _recordings(run: RunFolder, rows: Sequence[ResultRow]) -> dict[str, str]:
    """Session to the hash of its recording; "" where the run does not say."""
    data = run.record.get("data") or {}
    sessions = dict.fromkeys(row.session for row in rows)
    return {name: data.get(name, {}).get("recording_sha256", "") for name in sessions}


def _names(folders: Sequence[Path | str]) -> list[str]:
    """The last part of each path, or more of it where that says too little."""
    paths = [Path(folder).resolve() for folder in folders]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice}: expected different runs, got this one twice; name each once")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        key: record[key] for key in ("versions", "commit", "machine") if key in record
    }
    recipe = record.get("recipe") or {}
    return dict(flat_settings(recipe)) | dict(flat_settings(chosen))
