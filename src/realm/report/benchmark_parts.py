"""What only a benchmark measures: lookahead, few labels, calibration, drift, spikes."""

from __future__ import annotations

from typing import NamedTuple

from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.tables import ResultTable


class Shown(NamedTuple):
    """A section, the part of the benchmark behind it, its figure and the begins of its tables."""

    title: str
    part: str
    figure: str
    tables: tuple[str, ...]
    text: str


LOOKAHEAD = Shown(
    "Waiting for more accuracy",
    "lookahead",
    "lookahead",
    ("Student with lookahead",),
    "A decoder that may wait a little sees some of what comes after, and decodes better. The "
    "table says what each additional delay is worth.",
)
LABELS = Shown(
    "Few labels on the last day",
    "labels",
    "labels",
    ("Few labels", "What distillation"),
    "Trained with few labelled seconds of the last session and all labels of the earlier ones.",
)
CALIBRATION = Shown(
    "Calibrating a new session",
    "transfer",
    "calibration",
    ("New sessions",),
    "Sessions the decoder was not trained on: R² for the labelled seconds it is given. The first "
    "point is the decoder as it comes, without any label.",
)
DRIFT = Shown(
    "Drift over days",
    "transfer",
    "drift",
    ("Drift",),
    "Trained on the first sessions of a subject, then decoding its later ones as they come "
    "(dotted) and after a short calibration (dashed). Shaded: sessions it has not seen.",
)
SPIKES = Shown(
    "LFP against spikes",
    "spikes",
    "spikes",
    ("LFP against",),
    "The same methods on the spike counts of the same recordings.",
)


def benchmark_section(run: RunFolder, shown: Shown) -> Section:
    """Figure and tables of one part, or how to get them."""
    skipped = run.benchmark.get("skipped", {}).get(shown.part)
    if skipped:
        return left_out(shown.title, f"Left out, these recordings do not allow it: {skipped}.")
    path = run.path / "figures" / f"{shown.figure}.png"
    tables = tuple(
        _table(title, lines)
        for title, lines in run.benchmark.get("tables", {}).items()
        if title.startswith(shown.tables) and lines
    )
    done = bool(run.benchmark) and shown.part not in run.benchmark.get("missing", [])
    if not done or not path.is_file():
        return left_out(shown.title, how_to_measure(run, shown.part))
    return Section(shown.title, (shown.text,), (Picture(path, shown.title),), tables)


def how_to_measure(run: RunFolder, part: str) -> str:
    """The commands that measure a part of the benchmark and show it."""
    out = run.path if run.benchmark else "runs/benchmark"
    return (
        f"Left out: not measured yet. `realm benchmark {run.name} --data FOLDER --out {out} "
        f"--only {part}` measures it, then `realm report {out}` shows it."
    )


def _table(title: str, lines: list[dict[str, str]]) -> ResultTable:
    columns = tuple(lines[0])
    named = 2 if "Decoder" in columns else 1
    return ResultTable(title, columns, tuple(tuple(line.values()) for line in lines), named)
