"""The results as a table, as Markdown and as JSON, with the machine they belong to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Row, Skipped
from realm.files import write_json, write_text
from realm.report.tables import ResultTable

METHOD = (
    "Written by `make bench`. Medians of processor time on one thread, caches warm, and of wall "
    "time where there are several workers. The ratio is measured over reference, less is better, "
    "with its quartiles over alternating rounds."
)


def table(rows: Sequence[Row]) -> ResultTable:
    """The rows for people; a dash where there is no target yet."""
    columns = ("Measured", "Reference", "Value", "Of reference", "Ratio", "Quartiles", "Target")
    return ResultTable("Benchmarks", columns, tuple(map(_cells, rows)), text_columns=2)


def _cells(row: Row) -> tuple[str, ...]:
    target = "–"
    if row.target is not None:
        target = f"{row.target:g}, {'met' if row.met else 'not met'}"
    return (
        row.name,
        row.reference,
        f"{_three_digits(row.value)} {row.unit}",
        _three_digits(row.reference_value),
        _three_digits(row.ratio),
        f"{_three_digits(row.ratio_low)} to {_three_digits(row.ratio_high)}",
        target,
    )


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write(rows: Sequence[Row], skipped: Sequence[Skipped], folder: Path, quick: bool) -> None:
    """Write `results.md` and `results.json` into `folder`."""
    here = machine()
    write_json(
        folder / "results.json",
        {
            "machine": here,
            "quick": quick,
            "rows": [row._asdict() for row in rows],
            "skipped": [each._asdict() for each in skipped],
        },
    )
    named = "\n".join(f"- {key}: {value}" for key, value in here.items())
    missing = "".join(f"- not measured: {name}: {why}\n" for name, why in skipped)
    warning = "Tiny sizes: these numbers mean nothing.\n\n" if quick else ""
    write_text(
        folder / "results.md",
        f"# Benchmarks\n\n{warning}{METHOD}\n\n{table(rows).markdown()}\n{missing}{named}\n",
    )


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "cpu": _cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
