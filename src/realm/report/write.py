"""The report of a run or of a benchmark: its sections in their order, as HTML or as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow
from realm.files import write_text
from realm.report.benchmark_parts import benchmark_sections
from realm.report.drift import drift_section
from realm.report.health import health_section
from realm.report.importance import importance_section
from realm.report.lags import lag_section
from realm.report.latency import latency_section
from realm.report.markdown import markdown
from realm.report.page import page
from realm.report.reconstruction import reconstruction_section
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.settings import settings_section
from realm.report.summary import summary_section
from realm.report.tables import (
    ResultTable,
    accuracy_table,
    confidence_table,
    difference_table,
    session_table,
)

Say = Callable[[str], None]
MOST_TRAJECTORIES = 6

HOW_MEASURED = (
    "The last 20% of every session is test time. The 10% before it is validation time. On both "
    "sides of the validation time 2 s are left out. Nothing is shuffled, and every statistic comes "
    "from training time. Each session is decoded as one continuous stream. R² is averaged over the "
    "dimensions of the behavior, then over sessions. Settings are chosen on validation time only. "
    "“R², shifted behavior” decodes behavior that was moved against the recording by at least "
    "10 s: it is near 0 or below, unless something leaks."
)


def write_report(
    folder: Path | str,
    out: Path | str | None = None,
    say: Say = lambda text: None,
    *,
    measure: bool = True,
) -> Path:
    """Write the report of a run, or of a benchmark with all its parts, as one HTML file.

    Pictures that are measured now are kept in `figures/` of the run.

    Args:
        folder: of a finished run or benchmark.
        out: the file; None = `report.html` in `folder`.
        say: is called with the name of each thing that is being measured.
        measure: also measure what needs the decoder, the teacher or the prepared sessions.
            If False, a sentence says how to get it.

    Raises:
        ValueError: there is no finished run in the folder, or a file of it is damaged.
        OSError: the file cannot be written.
    """
    run = RunFolder.open(folder)
    target = Path(out) if out else run.path / "report.html"
    content = every_section(run, say) if measure else quick_sections(run)
    write_text(target, page(_title(run), content))
    return target


def write_markdown(folder: Path | str) -> Path:
    """Write `report.md`, which measures nothing more, into the folder of a run; returns its path.

    Raises:
        ValueError: the folder has no results.csv, or it or run.json cannot be read.
    """
    run = RunFolder.open(folder)
    target = run.run / "report.md"
    write_text(target, markdown(_title(run), quick_sections(run), run.run))
    return target


def every_section(run: RunFolder, say: Say) -> list[Section]:
    """All sections; a section without data says how to get them."""
    figures = run.run / "figures"
    return [
        *_opening(run),
        _doing(say, "reconstruction", lambda: reconstruction_section(run, figures)),
        _doing(say, "delay of the decoding", lambda: lag_section(run, figures)),
        importance_section(run, figures, say),
        _doing(say, "sessions", lambda: drift_section(run, figures)),
        *benchmark_sections(run),
        latency_section(run),
        _doing(say, "channel health", lambda: health_section(run, figures)),
        *_closing(run),
    ]


def quick_sections(run: RunFolder) -> list[Section]:
    """What a run shows at its end, without measuring anything more."""
    more = left_out(
        "Not measured yet",
        f"`realm report {run.path}` also measures what the teacher reconstructs, the delay of the "
        "decoding, which channels and bands matter, how sessions differ and the health of the "
        "channels, and writes all of it to `report.html`.",
    )
    parts = benchmark_sections(run) if run.benchmark else []
    return [*_opening(run), more, *parts, latency_section(run), *_closing(run)]


def _title(run: RunFolder) -> str:
    return f"Decoding behavior: {run.name}"


def _opening(run: RunFolder) -> list[Section]:
    return [summary_section(run), _accuracy(run), _trajectories(run)]


def _closing(run: RunFolder) -> list[Section]:
    return [_training(run), Section("How it was measured", (HOW_MEASURED,)), settings_section(run)]


def _doing(say: Say, what: str, make: Callable[[], Section]) -> Section:
    say(what)
    return make()


def _accuracy(run: RunFolder) -> Section:
    text = (
        "R² is the share of the behavior's variance that is decoded. Bars are 95% intervals over "
        "5 s blocks of the test time. Dots are single trainings. Methods with hollow marks use "
        "future signal and cannot run live."
    )
    pictures = _of_kind(run, "r2", "R² of every method in every session")
    return Section("R² per session", (text,), pictures, _accuracy_tables(run.rows))


def _accuracy_tables(rows: Sequence[ResultRow]) -> tuple[ResultTable, ...]:
    tables = [
        confidence_table(rows),
        accuracy_table(rows),
        difference_table(rows),
        session_table(rows),
        accuracy_table(rows, "validation"),
    ]
    return tuple(table for table in tables if table.rows)


def _trajectories(run: RunFolder) -> Section:
    title = "Decoded against true behavior"
    found = _of_kind(run, "trajectory", "Decoded and true behavior on test time")
    if not found:
        where = run.run / "figures"
        return left_out(title, f"Left out: there are no pictures of trajectories in `{where}`.")
    shown = found if len(found) <= MOST_TRAJECTORIES else _spread(run.rows, found)
    text = ["For every session, the 20 s of test time in which the behavior moves most."]
    if len(shown) < len(found):
        text.append(
            f"{len(shown)} of {len(found)} sessions are shown, from the best to the weakest; the "
            "others are in `figures/`."
        )
    return Section(title, tuple(text), shown)


def _spread(rows: Sequence[ResultRow], found: Sequence[Picture]) -> tuple[Picture, ...]:
    """Sessions spread evenly from the best to the weakest."""

    def r2(picture: Picture) -> float:
        session = picture.path.stem.removeprefix("trajectory_")
        test = [r for r in rows if r.session == session and r.split == "test"]
        mean = mean_defined([r.r2 for r in test if r.method == "student"])
        return mean if mean == mean else -1e9

    ranked = sorted(found, key=r2, reverse=True)
    places = [
        round(k * (len(ranked) - 1) / (MOST_TRAJECTORIES - 1)) for k in range(MOST_TRAJECTORIES)
    ]
    return tuple(ranked[place] for place in places)


def _training(run: RunFolder) -> Section:
    found = _of_kind(run, "loss", "Learning curves")
    if not found:
        return left_out("Training", "Left out: there is no picture of the training in the run.")
    text = "Loss by training step. Below: R² on validation time, which decides when to stop."
    return Section("Training", (text,), found)


def _of_kind(run: RunFolder, kind: str, caption: str) -> tuple[Picture, ...]:
    """The pictures of a run whose names begin with `kind`."""
    return tuple(
        Picture(path, f"{caption}: {rest}" if kind == "trajectory" and rest else caption)
        for path in sorted((run.run / "figures").glob(f"{kind}*.png"))
        for rest in [path.stem.removeprefix(kind).strip("_")]
    )
