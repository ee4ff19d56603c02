"""The sections of a run's report in their order, written as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from realm.evaluation.metrics import mean_defined
from realm.evaluation.results import ResultRow
from realm.files import write_text
from realm.report import benchmark_parts as parts
from realm.report.drift import drift_section
from realm.report.health import health_section
from realm.report.importance import importance_section
from realm.report.lags import lag_section
from realm.report.latency import latency_section
from realm.report.markdown import HOW_MEASURED, pictures, record_tables, result_tables
from realm.report.page import page
from realm.report.reconstruction import reconstruction_section
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.summary import summary_section
from realm.report.tables import ResultTable, number

Say = Callable[[str], None]
MOST_TRAJECTORIES = 6


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
        say: told what is being done.
        measure: also what needs the decoder, the teacher or the prepared sessions; else a sentence
            says how to get it.

    Raises:
        ValueError: there is no finished run in the folder, or a file of it is damaged.
        OSError: the file cannot be written.
    """
    run = RunFolder.open(folder)
    target = Path(out) if out else run.path / "report.html"
    content = every_section(run, say) if measure else quick_sections(run)
    write_text(target, page(f"Decoding behavior: {run.name}", content))
    return target


def every_section(run: RunFolder, say: Say) -> list[Section]:
    """All sections; what cannot be shown says how to get it."""
    figures = run.run / "figures"
    return [
        summary_section(run),
        _accuracy(run),
        _trajectories(run),
        _doing(say, "reconstruction", lambda: reconstruction_section(run, figures)),
        _doing(say, "delay of the decoding", lambda: lag_section(run, figures)),
        parts.benchmark_section(run, parts.LOOKAHEAD),
        parts.benchmark_section(run, parts.CALIBRATION),
        *([parts.benchmark_section(run, parts.LABELS)] if run.benchmark else []),
        importance_section(run, figures, say),
        parts.benchmark_section(run, parts.DRIFT),
        _doing(say, "sessions", lambda: drift_section(run, figures)),
        *([parts.benchmark_section(run, parts.SPIKES)] if run.benchmark else []),
        latency_section(run),
        _doing(say, "channel health", lambda: health_section(run, figures)),
        *_closing(run),
    ]


def quick_sections(run: RunFolder) -> list[Section]:
    """What a run shows at its end, without measuring anything more."""
    more = left_out(
        "Not measured yet",
        f"What the teacher reconstructs, the delay of the decoding, which channels and bands "
        f"matter, how sessions differ and the health of the channels: `realm report {run.path}` "
        "adds them to this page.",
    )
    opening = [summary_section(run), _accuracy(run), _trajectories(run), more]
    return [*opening, latency_section(run), *_closing(run)]


def _closing(run: RunFolder) -> list[Section]:
    return [_training(run), Section("How it was measured", (HOW_MEASURED,)), _provenance(run)]


def _doing(say: Say, what: str, make: Callable[[], Section]) -> Section:
    say(what)
    return make()


def _accuracy(run: RunFolder) -> Section:
    tables = [t for t in result_tables(run.rows) if t.title != "Cost"]
    text = (
        "R² is the share of the behavior's variance that is decoded. Bars are 95% intervals over "
        "5 s blocks of the test time, dots single trainings; hollow marks see the future and "
        "could not run live."
    )
    if table := _confidence(run.rows):
        tables.insert(0, table)
    return Section("R² per session", (text,), _of_kind(run, "r2"), tuple(tables))


def _confidence(rows: Sequence[ResultRow]) -> ResultTable | None:
    """The student's R² per session with its interval, means over seeds; None without a student."""
    lines = []
    own = [r for r in rows if (r.method, r.split, r.label_s) == ("student", "test", "all")]
    for session in dict.fromkeys(row.session for row in own):
        group = [row for row in own if row.session == session]
        keys = ("r2", "r2_low", "r2_high", "pearson_r")
        r2, low, high, r = (mean_defined([getattr(row, key) for row in group]) for key in keys)
        interval = "undefined" if low != low else f"{number(low)} to {number(high)}"
        lines.append((session, number(r2), interval, number(r), str(len(group))))
    columns = ("Session", "R²", "95% interval", "Pearson r", "Seeds")
    title = "The student on test time, with confidence"
    return ResultTable(title, columns, tuple(lines)) if lines else None


def _trajectories(run: RunFolder) -> Section:
    found = _of_kind(run, "trajectory")
    shown = found if len(found) <= MOST_TRAJECTORIES else _spread(run.rows, found)
    text = ["The 20 s of every session's test time in which the behavior moves most."]
    if len(shown) < len(found):
        text.append(
            f"{len(shown)} of {len(found)} sessions, from the best to the weakest; the others are "
            "in `figures/`."
        )
    if not found:
        text = [f"Left out: there are no pictures of trajectories in `{run.run / 'figures'}`."]
    return Section("Decoded against true behavior", tuple(text), shown, left_out=not found)


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
    found = _of_kind(run, "loss")
    text = "Loss by training step; below, R² on validation time, which decides when to stop."
    missing = "Left out: there is no picture of the training in the run."
    return Section("Training", (text if found else missing,), found, left_out=not found)


def _of_kind(run: RunFolder, kind: str) -> tuple[Picture, ...]:
    return tuple(p for p in pictures(run.run) if p.path.stem.startswith(kind))


def _provenance(run: RunFolder) -> Section:
    title = "Settings, versions and times"
    if not run.record:
        return Section(title, ("Left out: this run has no `run.json`.",), left_out=True)
    text = f"As stored in `{run.run / 'run.json'}`; hashes are shortened here."
    return Section(title, (text,), tables=tuple(record_tables(run.record)), folded=True)
