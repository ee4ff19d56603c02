"""Measure every subject, print the table and write `results.md` and `results.json`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the numerical libraries are loaded
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch
from rich.console import Console

from benchmarks import preparation, report, signal_chain, streaming, training_layer

HERE = Path(__file__).parent
SUBJECTS = (training_layer, streaming, signal_chain, preparation)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all benchmarks, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs at all")
    parser.add_argument("--out", type=Path, help=f"folder for the results, else {HERE.name}/")
    options = parser.parse_args(arguments)
    if options.quick and options.out is None:
        parser.error("--quick measures nothing worth keeping; name another folder with --out")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console()
    rows = []
    for subject in SUBJECTS:
        console.print(f"measuring: {subject.__name__.rpartition('.')[2]}")
        rows += subject.measure(options.quick)
    console.print(report.table(rows).rich())
    report.write(rows, options.out or HERE, options.quick)


if __name__ == "__main__":
    main()
