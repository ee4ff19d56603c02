"""`realm benchmark`: every number of the accuracy report from a folder of recordings.

Each part is done once. To resume a benchmark that was stopped, run the same command again. It
leaves this folder:

    prepared/              one file per session, shared by all parts that read the LFP
    main/                  a run folder with every method
    lookahead/50ms/ ...    run folders with the student alone
    labels30/ ...          run folders with a label budget on the last sessions
    transfer/              a run folder of the earlier sessions; calibrations on the later ones
    spikes/                a run folder on spike counts, with prepared files of its own
    parts/                 the rows of every finished part
    results.csv            rows of main and lookahead, benchmark.csv those of all parts
    cost.csv               what every method costs
    benchmark.md, benchmark.json, figures/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from realm.benchmark.part import Benchmark, BenchmarkRow, plain, read_rows, write_rows
from realm.benchmark.parts import PARTS, with_needed
from realm.benchmark.report import Outcome, write_outcome
from realm.files import make_folder, read_json, write_json
from realm.progress import Progress, silent
from realm.recipe import Recipe
from realm.recordings.open import find_recordings
from realm.runs.run import check_jobs, prepare


def benchmark(
    recipe: Recipe,
    data: Path | str,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> Outcome:
    """Do the parts named in `only` (all of them without), then report on all that is there.

    Raises:
        ValueError: a part has no such name, or the recordings or the folder do not fit.
        OSError: the output folder cannot be written, or the disk is full.
    """
    chosen = with_needed(list(only) or list(PARTS))
    check_jobs(jobs)
    if Accelerator(cpu=not torch.cuda.is_available()).num_processes > 1:
        raise ValueError(
            "realm benchmark: expected one process, found the processes of torchrun; start it "
            "without torchrun and train seeds side by side with --jobs"
        )
    out, recipe = make_folder(out), plain(recipe)
    prepared = prepare(recipe, data, out, jobs)
    bench = Benchmark(
        recipe, tuple(find_recordings(data)), tuple(prepared), out, jobs, progress or silent()
    )
    skipped = {name: reason for name in PARTS if (reason := _impossible(name, bench, chosen))}
    rows: list[BenchmarkRow] = []
    for name in PARTS:
        if name in skipped:
            bench.progress.say(f"{name}: skipped, {skipped[name]}")
        else:
            rows += _rows_of(name, bench, do=name in chosen)
    outcome = Outcome(bench, rows, skipped)
    write_outcome(outcome)
    return outcome


def _impossible(name: str, bench: Benchmark, chosen: Sequence[str]) -> str | None:
    """Why a part cannot be done; wrong settings are an error only where the part is asked for."""
    try:
        return PARTS[name].impossible(bench)
    except ValueError as error:
        if name in chosen or "main" in chosen:
            raise
        return str(error)


def _rows_of(name: str, bench: Benchmark, *, do: bool) -> list[BenchmarkRow]:
    """The rows of a part that is finished, or is to be done now; otherwise none."""
    done, stored = bench.out / "parts" / f"{name}.json", bench.out / "parts" / f"{name}.csv"
    if done.exists() and read_json(done)["fingerprint"] == bench.fingerprint():
        return read_rows(stored)
    if not do:
        return []
    bench.progress.say(f"{name}: started")
    rows = PARTS[name].run(bench)
    write_rows(rows, stored)
    write_json(done, {"fingerprint": bench.fingerprint()})
    bench.progress.say(f"{name}: done")
    return read_rows(stored)
