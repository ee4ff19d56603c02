"""The command line: arguments to functions, nothing else."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Spinning OpenMP threads slow a shared machine many times; this must stand before numpy or torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer
from rich.console import Console

if TYPE_CHECKING:
    from realm.recipe import Recipe
    from realm.run import Stage
    from realm.stages import Progress

app = typer.Typer(
    name="realm",
    help="Causal decoding of behavior from local field potentials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(stderr=True)

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or the name of one.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of NWB recordings.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Run folder.", show_default="runs/<recipe>-<time>"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: key=value. Repeatable.")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes to use side by side.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads per process.")]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Prepare with Ray.")]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a saved decoder.")]


@app.command()
def run(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
    cluster: ClusterOption = False,
) -> None:
    """Recordings in; a distilled causal decoder, baselines, results and figures out."""
    _stage("evaluate", recipe, data, out, overrides, jobs, threads, cluster)


@app.command()
def prepare(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = False,
) -> None:
    """Turn recordings into prepared session files (features, behavior, splits)."""
    _stage("prepare", recipe, data, out, overrides, jobs, 1, cluster)


@app.command()
def pretrain(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare, then pretrain the bidirectional teacher."""
    _stage("pretrain", recipe, data, out, overrides, jobs, threads)


@app.command()
def distill(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Prepare and pretrain if need be, then distill the causal student."""
    _stage("distill", recipe, data, out, overrides, jobs, threads)


@app.command()
def evaluate(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Score the student and the baselines of a run; earlier stages are done if need be."""
    _stage("evaluate", recipe, data, out, overrides, jobs, threads)


@app.command()
def calibrate(
    file: Annotated[Path, typer.Argument(help="An NWB recording of the new session.")],
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the calibrated decoder.")],
    label_s: Annotated[
        float | None, typer.Option(help="Seconds of labels to use.", show_default="all")
    ] = None,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: ThreadsOption = 1,
) -> None:
    """Adapt a decoder to a session it has not seen."""
    _threads(threads)
    from realm.calibration import calibrate_decoder

    with _Bars() as bars:
        outcome = calibrate_decoder(
            file, model, out, label_s=label_s, overrides=overrides or [], seed=seed,
            progress=bars.progress,
        )  # fmt: skip
    typer.echo(f"{outcome.session_id}: R² on validation {_figure(outcome.validation_r2)}")
    typer.echo(f"decoder: {out}")


@app.command()
def benchmark(
    recipe: RecipeArgument,
    data: DataOption,
    out: OutOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="One part: main, lookahead, labels, transfer, spikes. Repeatable.",
            show_default="all",
        ),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:  # fmt: skip
    """Measure everything the accuracy report says: all methods, label budgets, new days, spikes."""
    _threads(threads)
    from realm.benchmark.command import benchmark as measure
    from realm.recipe import load_recipe

    resolved = load_recipe(recipe, overrides or [])
    folder = out or _default_out(resolved)
    with _Bars() as bars:
        outcome = measure(
            resolved, data, folder, only=only or [], jobs=jobs, progress=bars.progress
        )
    for claim in outcome.claims:
        typer.echo(claim.line())
    typer.echo(f"report: {folder / 'benchmark.md'}")


@app.command()
def decode(
    file: Annotated[Path, typer.Argument(help="An NWB recording.")],
    model: ModelOption,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV to write.", show_default="FILE.decoded.csv")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Whose adapter to use.", show_default="the file's session")
    ] = None,
    threads: ThreadsOption = 1,
) -> None:
    """Decode a recording bin by bin, as it would run live, into a CSV."""
    _threads(threads)
    from realm.decoder import Decoder, write_decoded

    out = out or file.with_suffix(".decoded.csv")
    decoder = Decoder.from_pretrained(str(model))
    bins = write_decoded(decoder, file, out, session)
    typer.echo(f"{bins} bins of {decoder.bin_ms:g} ms: {out}")


@app.command()
def bundle(
    model: Annotated[Path, typer.Argument(help="Folder of a saved decoder, or of its run.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")],
    session: Annotated[
        str | None, typer.Option(help="Which session.", show_default="the only one")
    ] = None,
    quorum: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of good channels for an output.")
    ] = 0.5,
) -> None:
    """Put one session's decoder into a folder that decodes without torch."""
    _threads(1)
    from realm.bundling import bundle_model

    made = bundle_model(model, out, session, quorum)
    size = sum(map(len, made.files.values())) / 1e6
    typer.echo(f"{made.session_id}: {len(made.chain.channel_names)} channels, {size:.1f} MB")
    typer.echo(f"bundle: {out}")


@app.command()
def tune(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the trials and their table.")],
    methods: Annotated[
        list[str], typer.Option("--method", help="What to tune, such as gru. Repeatable.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="Per method; the first is the recipe.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws and the trainings.")] = 0,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:
    """Tune methods with the same budget each, judged on validation time alone."""
    _threads(threads)
    from realm.benchmark.tuning import tune
    from realm.benchmark.tuning_table import best_settings, summary_table
    from realm.recipe import load_recipe

    with _Bars() as bars:
        results = tune(
            load_recipe(recipe, overrides or []), data, out, methods, trials=trials, seed=seed,
            jobs=jobs, progress=bars.progress,
        )  # fmt: skip
    Console().print(summary_table(results).rich())
    typer.echo(best_settings(results))
    typer.echo(f"trials: {out / 'tuning.md'}")


@app.command("paper-protocol")
def paper_protocol(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder of its own for this protocol.")],
    leak_free: Annotated[
        Path | None,
        typer.Option("--leak-free", help="A finished run of the recipe, to compare with.",
                     show_default="trained here"),
    ] = None,
    overrides: SetOption = None,
    jobs: JobsOption = 1,
    threads: ThreadsOption = 1,
) -> None:  # fmt: skip
    """Score as published LFP numbers were, for comparison only, with the inflation beside it."""
    _threads(threads)
    from realm.benchmark.paper_protocol import paper_protocol as compare
    from realm.benchmark.paper_protocol import protocol_table
    from realm.recipe import load_recipe

    with _Bars() as bars:
        rows = compare(
            load_recipe(recipe, overrides or []), data, out, leak_free=leak_free, jobs=jobs,
            progress=bars.progress,
        )  # fmt: skip
    Console().print(protocol_table(rows).rich())
    typer.echo(f"rows: {out / 'paper_protocol.csv'}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the NWB files.")],
    subjects: Annotated[int, typer.Option(min=1)] = 2,
    days: Annotated[int, typer.Option(min=1)] = 2,
    duration_s: Annotated[float, typer.Option(min=10)] = 120.0,
    channels: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write simulated reaching sessions as NWB files."""
    from realm.demo import write_simulated

    for path in write_simulated(out, subjects, days, duration_s, channels, seed):
        typer.echo(path)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/demo"),
    jobs: JobsOption = 2,
) -> None:
    """Simulate sessions and do the whole main job on them, in a few minutes."""
    from realm.demo import write_simulated

    recordings = out / "recordings"
    write_simulated(recordings, subjects=2, days=2, duration_s=120.0, channels=16, seed=0)
    _stage("evaluate", "demo", recordings, out, None, jobs, 1)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        app()
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("REALM_DEBUG"):
            raise
        console.print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _stage(
    until: Stage, recipe: str, data: Path, out: Path | None, overrides: list[str] | None,
    jobs: int, threads: int, cluster: bool = False,
) -> None:  # fmt: skip
    _threads(threads)
    from realm.recipe import load_recipe
    from realm.run import run

    resolved = load_recipe(recipe, overrides or [])
    folder = out or _default_out(resolved)
    with _Bars() as bars:
        rows = run(
            resolved, data, folder, until=until, jobs=jobs, cluster=cluster, progress=bars.progress
        )
    if rows:
        from realm.evaluation.tables import accuracy_table, cost_table

        tables = Console()
        tables.print(accuracy_table(rows, "test").rich())
        tables.print(cost_table(rows).rich())
        typer.echo(f"report: {folder / 'report.html'}")
    typer.echo(f"run folder: {folder}")


def _default_out(recipe: Recipe) -> Path:
    return Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _threads(threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import torch

    torch.set_num_threads(threads)


def _figure(value: float) -> str:
    return "undefined" if value != value else f"{value:.3f}"


def _plain(error: BaseException) -> str:
    from rich.markup import escape

    if not isinstance(error, OSError) or not error.strerror:
        return escape(str(error))
    named = "" if error.filename is None else f"{error.filename}: "
    return escape(named + error.strerror)


class _Bars:
    """Progress bars of trainings: loss, throughput and time left."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), TimeRemainingColumn(compact=True),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    @property
    def progress(self) -> Progress:
        from realm.stages import Progress

        return Progress(self._say, self._training)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)

    def _training(self, title: str, steps: int) -> Any:
        self._bars.start()  # now: preparation shows a bar of its own
        task = self._bars.add_task(title, total=steps, figures="")
        self._shown: dict[str, str] = {}
        begun, first = time.perf_counter(), [None]

        def report(step: int, figures: dict[str, float]) -> None:
            if first[0] is None:
                first[0] = step  # type: ignore[call-overload]
            rate = (step - (first[0] or 0)) / max(1e-9, time.perf_counter() - begun)
            if "loss" in figures:
                self._shown["loss"] = f"loss {figures['loss']:.3f}"
            if "r2" in figures:
                self._shown["r2"] = f"R² {figures['r2']:.3f}"
            text = " ".join([*self._shown.values(), f"{rate:.1f} steps/s"])
            self._bars.update(task, completed=step, figures=text)

        return report
