"""Students that wait for some future signal: R² by lookahead.

All have the teacher of the main run: its files are copied to where a run looks for them, so that
only the students are trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realm.benchmark.curves import draw_curve, mean_cells, point
from realm.benchmark.part import (
    Benchmark,
    BenchmarkRow,
    Measured,
    Part,
    of_part,
    with_lookahead,
    with_methods,
)
from realm.evaluation.results import ResultRow
from realm.files import atomic_path
from realm.methods.registry import methods_of
from realm.report.section import Picture, Section
from realm.report.style import colour, figure_file, quiet_grid
from realm.report.tables import ResultTable, number
from realm.runs.run import run_prepared
from realm.signal.binning import lookahead_bins

TEACHER_FILES = ("metrics.jsonl", "checkpoint.safetensors")


def impossible(benchmark: Benchmark) -> str | None:
    """Refuse a lookahead that is not a whole number of bins before anything is trained."""
    for lookahead_ms in benchmark.recipe.benchmark.lookahead_ms:
        try:
            lookahead_bins(lookahead_ms, benchmark.sessions[0].bin_ms)
        except ValueError as error:
            raise ValueError(f"benchmark.{error}") from None
    return None if benchmark.recipe.benchmark.lookahead_ms else "benchmark.lookahead_ms is empty"


def run(benchmark: Benchmark) -> list[BenchmarkRow]:
    """One run folder per lookahead, with the student alone."""
    found = []
    for lookahead_ms in benchmark.recipe.benchmark.lookahead_ms:
        folder = benchmark.out / "lookahead" / f"{lookahead_ms:g}ms"
        for seed in benchmark.recipe.seeds:
            _copy_teacher(benchmark.out / "main" / f"seed{seed}", folder / f"seed{seed}")
        recipe = with_methods(with_lookahead(benchmark.recipe, lookahead_ms), [])
        rows = run_prepared(
            recipe, benchmark.prepared, folder, jobs=benchmark.jobs, progress=benchmark.progress
        )
        found += of_part("lookahead", f"{lookahead_ms:g} ms", rows)
    return found


def _copy_teacher(source: Path, target: Path) -> None:
    """The checkpoint comes last: with it, the teacher is there."""
    for teacher in sorted(source.glob("teacher*")):
        for name in TEACHER_FILES:
            if not (target / teacher.name / name).exists():
                with atomic_path(target / teacher.name / name) as temporary:
                    shutil.copyfile(teacher / name, temporary)


def show(measured: Measured) -> list[Section]:
    """R² by lookahead, beside the methods that use the whole future."""
    curve, base = lookahead_curve(measured), latency_ms(measured.bench)
    path = measured.figure("lookahead")
    draw(curve, base, measured.select("main"), path)
    text = (
        "A decoder that waits a little uses some of the signal that comes later, and decodes "
        "better. The table shows the R² for each additional delay."
    )
    picture = Picture(path, "R² for a little more latency")
    return [Section(PART.title, (text,), (picture,), (lookahead_table(curve, base),))]


def lookahead_curve(measured: Measured) -> dict[float, list[ResultRow]]:
    """Rows of the student by lookahead in ms; 0 is the main run's."""
    found = [*measured.select("main"), *measured.select("lookahead")]
    student = [row for row in found if row.method == "student"]
    waits = sorted({row.lookahead_ms for row in student})
    return {wait: [row for row in student if row.lookahead_ms == wait] for wait in waits}


def latency_ms(bench: Benchmark) -> float:
    """Milliseconds from a sample to its output, without lookahead, on average over sessions.

    The delays of the filters and of smoothing, and a whole bin: its first sample waits that long.
    """
    chains = [session.chain for session in bench.sessions]
    mean = float(np.mean([chain.latency_ms for chain in chains]))
    return mean + chains[0].bin_ms / 2  # the chain counts half a bin


def lookahead_table(curve: dict[float, list[ResultRow]], base_ms: float) -> ResultTable:
    """R² of the student by lookahead."""
    lines = [
        (f"{wait:g}", number(base_ms + wait, digits=0), *mean_cells(point(found, "student")))
        for wait, found in curve.items()
    ]
    columns = ("Lookahead, ms", "Total latency, ms", "R²", "SD over seeds")
    return ResultTable("Student with lookahead", columns, tuple(lines))


def draw(
    curve: dict[float, list[ResultRow]], base: float, main: Sequence[ResultRow], path: Path
) -> None:
    """Students by total latency; dashed, the methods with the whole future that reach more.

    Those that reach less than the student without lookahead are left out: the curve would be flat.
    """
    with figure_file(path, 6.4, 4.0) as fig:
        ax = fig.subplots()
        points = [point(found, "student") for found in curve.values()]
        draw_curve(ax, [base + wait for wait in curve], points, "student")
        for wait, at in zip(curve, points, strict=True):
            ax.annotate(
                f"+{wait:g} ms: {number(at.mean)}",
                (base + wait, at.mean),
                (9, -4),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize=8.5,
            )  # below and to the right, where a rising curve leaves room
        for method in methods_of([row for row in main if not row.causal]):
            height = point(main, method).mean
            if height < points[0].mean:
                continue
            ax.axhline(height, color=colour(method), linestyle="--", linewidth=1.2)
            ax.annotate(
                method,
                (1.0, height),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=colour(method),
            )
        ax.margins(x=0.2, y=0.2)
        ax.set_xlabel(f"latency, ms: signal chain and bin {number(base, digits=0)}, plus lookahead")
        ax.set_ylabel("R² on test time")
        quiet_grid(ax)


ABOUT = (
    "students that wait for some future signal, distilled from the main run's teacher; total "
    "latency is the signal chain, a whole bin and the lookahead"
)
PART = Part("Waiting for more accuracy", ABOUT, run, impossible, needs=("main",), show=show)
