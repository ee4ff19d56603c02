"""Measure the speed of every subject, print the table and write `results.md` and `results.json`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the numerical libraries are loaded
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch
from rich.console import Console

from benchmarks import (
    growth,
    preparation,
    report,
    scaling,
    signal_chain,
    streaming,
    training_layer,
    training_step,
)
from benchmarks.timing import Row, Skipped

HERE = Path(__file__).parent
SUBJECTS = {
    "layer": training_layer,
    "training": training_step,
    "streaming": streaming,
    "signal": signal_chain,
    "preparation": preparation,
    "growth": growth,
    "scaling": scaling,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--out", type=Path, help=f"folder for the results; else {HERE.name}/")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, help="what to measure; else all")
    options = parser.parse_args(arguments)
    if (options.quick or options.only) and options.out is None:
        parser.error("--quick and --only do not give the whole table; name a folder with --out")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console()
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for name in options.only or SUBJECTS:
        console.print(f"measuring: {name}")
        for found in SUBJECTS[name].measure(options.quick):
            if isinstance(found, Skipped):
                console.print(f"not measured: {found.name}: {found.why}")
                skipped.append(found)
            else:
                rows.append(found)
    console.print(report.table(rows).rich())
    report.write(rows, skipped, options.out or HERE, options.quick)


if __name__ == "__main__":
    main()
