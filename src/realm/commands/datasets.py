"""`realm dataset`: list, fetch and prepare public datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realm.commands.help import Command, Group, help_text
from realm.commands.options import JsonOption
from realm.commands.terminal import answer, answering, console, plain_text

if TYPE_CHECKING:
    from rich.progress import Progress

    from realm.datasets.dataset import Dataset, RemoteFile

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of a dataset (`realm dataset list` shows them)."),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="SESSION",
        help="Take only this session. Can be repeated.",
        show_default="all",
    ),
]


def list_(as_json: JsonOption = False) -> None:
    """List the public datasets, their licences and sizes.

    Examples:
      realm dataset list
      realm dataset list --json
    """
    from rich.table import Column, Table

    from realm.datasets.registry import all_datasets

    datasets = all_datasets()
    longest = max(len(dataset.name) for dataset in datasets)
    table = Table(Column("name", no_wrap=True, min_width=longest))
    for title in ("signal", "behavior", "licence", "size", "fetched by"):
        table.add_column(title)
    for dataset in datasets:
        how = "realm" if dataset.remote is not None else "hand"
        table.add_row(
            dataset.name, dataset.signal, dataset.behavior, dataset.licence, size(dataset.size), how
        )
    found = {"datasets": [dataset.as_json() for dataset in datasets]}
    answer(as_json, found, [], [table])


def fetch(
    name: NameArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the downloaded files.")
    ],
    only: OnlyOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence without asking.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            envvar="REALM_DATASET_MIRROR",
            hidden=True,
            help="A server with the same paths.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    r"""Download a dataset after you accept its licence.

    If the download stops, run the same command again to resume. Every file is compared with its
    checksum; a correct file is not downloaded again.

    Examples:
      realm dataset fetch stanford-fingers --out downloads
      realm dataset fetch makin-sabes --out downloads --yes \
        --only indy_20160927_06
    """
    with answering(as_json):
        from realm.datasets.fetch import fetch as fetch_files
        from realm.datasets.fetch import remote_files
        from realm.datasets.registry import find_dataset

        dataset = find_dataset(name)
        if dataset.remote is not None:
            _agree(dataset, out, yes)
        files = remote_files(dataset, only or [], mirror)
        say(f"{len(files)} files, {size(total(files))}")
        with Bars() as shown:
            fetched = fetch_files(files, out, shown.bytes, say, mirror)
        unknown = sum(not file.verified for file in fetched)
    values = {
        "dataset": dataset.name,
        "licence": dataset.licence,
        "out": out,
        "files": [
            {"path": f.path, "bytes": f.size, "checksum": f.checksum, "verified": f.verified}
            for f in fetched
        ],
    }
    lines = [f"{len(fetched)} files in {out}"]
    if unknown:
        lines.append(f"{unknown} of them could not be checked: no checksum is published")
    lines.append(f"next: realm dataset prepare {name} --data {out} --out FOLDER")
    answer(as_json, values, lines)


def prepare(
    name: NameArgument,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FOLDER", help="Folder with the files of the dataset."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="Folder for the NWB files and the recipe."),
    ],
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Turn the files of a dataset into NWB files and a recipe.

    Examples:
      realm dataset prepare stanford-fingers --data downloads --out fingers
      realm dataset prepare makin-sabes --data downloads --out reaching \
        --only indy_20160927_06
    """
    with answering(as_json):
        from realm.datasets.prepare import prepare as prepare_sessions
        from realm.datasets.registry import find_dataset

        dataset = find_dataset(name)
        with Bars() as shown:
            done = prepare_sessions(dataset, data, out, shown.samples, say, only or [])
    values = {
        "dataset": dataset.name,
        "sessions": done.sessions,
        "recipe": done.recipe,
        "kept": done.kept,
        "caveats": list(dataset.caveats),
    }
    lines = [
        f"{len(done.sessions)} sessions in {out}",
        f"next: realm run {done.recipe} --data {out} --out runs/{name}",
    ]
    answer(as_json, values, lines)


def _agree(dataset: Dataset, out: Path, yes: bool) -> None:
    """Show what there is and on what terms; anything but a yes ends the command."""
    say(dataset.title)
    say(f"page: {dataset.homepage}")
    say(f"licence: {dataset.licence}. {dataset.terms}")
    for named in dataset.citation:
        say(f"cite: {named}")
    say(f"size of everything: {size(dataset.size)}, into {out}")
    if not yes and not typer.confirm("Accept these terms and download?", err=True):
        raise ValueError(
            f"{dataset.name}: expected the terms to be accepted, they were not; nothing was fetched"
        )


def say(text: str) -> None:
    """One line that stays, beside the answer."""
    console.print(plain_text(text), highlight=False, soft_wrap=True)


def size(n_bytes: int | None) -> str:
    """Bytes for people."""
    if n_bytes is None:
        return "unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} bytes"


def total(files: list[RemoteFile]) -> int | None:
    """Bytes of all files, None where one is unknown."""
    known = [file.size for file in files if file.size is not None]
    return sum(known) if len(known) == len(files) else None


class Bars:
    """Progress bars, one for each file or session, where there is a terminal."""

    def __enter__(self) -> Bars:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    def bytes(self, name: str) -> Callable[[int, int | None], None]:
        """A bar for a file: how much of it is here."""
        task = self._bars.add_task(plain_text(name), total=None, figures="")

        def report(done: int, whole: int | None) -> None:
            figures = f"{size(done)} of {size(whole)}" if whole is not None else size(done)
            self._bars.update(task, completed=done, total=whole, figures=figures)

        return report

    def samples(self, name: str) -> Callable[[int, int], None]:
        """A bar for a session: how many of its samples are written."""
        task = self._bars.add_task(plain_text(name), total=None, figures="")

        def wrote(done: int, whole: int) -> None:
            self._bars.update(task, completed=done, total=whole)

        return wrote


app = typer.Typer(
    name="dataset",
    help="List, fetch and prepare public datasets.",
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list", cls=Command, help=help_text(list_))(list_)
app.command("fetch", cls=Command, help=help_text(fetch))(fetch)
app.command("prepare", cls=Command, help=help_text(prepare))(prepare)
