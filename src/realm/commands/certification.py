"""`realm certify`: test a bundle on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from realm.commands.terminal import console


def certify(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="Folder of a bundle (`realm bundle` makes one)."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FOLDER", help="Folder for certificate.json and certificate.html."
        ),
    ],
    recording: Annotated[
        Path | None,
        typer.Option(
            "--recording",
            metavar="FILE",
            help="Recording to measure with (`realm export` makes it).",
            show_default="a synthetic signal",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do fewer trials; takes less than a minute.")
    ] = False,
    hours: Annotated[
        float | None,
        typer.Option(
            metavar="H",
            min=0.001,
            help="Hours of stream to decode, at maximum speed, for latency and memory.",
            show_default="1, or 0.05 with --quick",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random numbers.")] = 0,
) -> None:
    """Test a bundle on this machine, write a certificate (HTML and JSON).

    Causality, chunks, faults, latency, memory and sockets are measured, each against a limit.

    Exit codes: 0 all checks passed, 1 a check failed, 2 nothing could be measured.

    Examples:
      realm certify bundle --out certificate
      realm certify bundle --out certificate --quick
      realm certify bundle --out certificate --recording day7.safetensors
    """
    from realm.certify.certificate import HTML
    from realm.certify.certificate import certify as examine
    from realm.certify.check import FULL, QUICK

    effort = QUICK if quick else FULL
    effort = effort if hours is None else effort._replace(hours=hours)
    with _Bars() as bars:
        content = examine(bundle, out, effort, recording=recording, seed=seed, report=bars.report)
    for check in content["checks"]:
        typer.echo(_line(check))
    failed = sum(not check["passed"] for check in content["checks"])
    typer.echo(f"{len(content['checks']) - failed} of {len(content['checks'])} checks passed")
    typer.echo(f"certificate: {out / HTML}")
    if not content["passed"]:
        raise typer.Exit(1)


def _line(check: dict[str, Any]) -> str:
    value = "not measured" if check["value"] is None else f"{check['value']:.4g}"
    word = "passed" if check["passed"] else "FAILED"
    text = f"{word}  {check['part']}: {check['name']}: {value} {check['unit']}"
    text += f" ({check['rule']} {check['limit']:g})"
    return text if check["passed"] else f"{text}; {check['detail']}"


class _Bars:
    """One progress bar, drawn only when a part reports: a thread would disturb the timing."""

    EVERY_S = 0.2

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description:14}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("Signal", total=1)
        self._title, self._shown_s = "", 0.0

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def report(self, title: str, done: int, of: int) -> None:
        """Show the progress of a part."""
        if title != self._title:
            self._bars.reset(self._task, description=title)
            self._title = title
        elif time.monotonic() - self._shown_s < self.EVERY_S:
            return
        self._shown_s = time.monotonic()
        self._bars.update(self._task, completed=done, total=of)
        self._bars.refresh()
